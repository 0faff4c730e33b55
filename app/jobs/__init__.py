"""Jobs: what was asked, how far it is, and what came of it. `record` is the data; `leases`, `transitions` and `gathering` alone change it."""
