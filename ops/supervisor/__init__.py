"""What `nightshift up` holds together: the embedded Redis, the processes, and their end. No HTTP, no Claude."""
