"""The command `nightshift`. One module a subcommand: HELP, `arguments(parser)`, and `run(args)`, which gives the exit status."""
