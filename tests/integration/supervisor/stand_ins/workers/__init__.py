"""Stand-ins for the programs that `nightshift up` starts."""
