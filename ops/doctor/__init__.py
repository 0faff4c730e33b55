"""What `nightshift doctor` looks at: what must be right on this machine for a night to go well."""
