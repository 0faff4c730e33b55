"""What workers need, to be imported before they are forked (`ops.supervisor.fork_server`). Nothing is begun: no thread, no connection."""
