"""What the API and the workers share: settings, jobs, their states and outcomes. No HTTP, no Claude in here."""
