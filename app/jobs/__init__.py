"""Jobs: what was asked, how far it is, and what came of it. `record` is the data, `lifecycle` its life, `apply` its one writer."""
