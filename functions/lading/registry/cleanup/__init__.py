"""Clean-up policies: what they apply to, decide and delete."""
