"""`nightshift mcp`: what agents can do with a running Nightshift, as tools of the Model Context Protocol."""
