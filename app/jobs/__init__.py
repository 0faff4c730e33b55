"""Jobs: what was asked, how far it is, and what came of it. `record` is the data, `transitions` the only way to change it."""
