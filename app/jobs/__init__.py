"""Jobs: what was asked, how far it is, and what came of it. `record` is the data; `leases` and `transitions` are the only ways to change it."""
