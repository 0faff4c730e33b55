"""The command `nightshift`. `main` lists its subcommands; each is a function that returns the exit status."""
