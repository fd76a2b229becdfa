"""Rules that belong to the registry: their types, what is in effect in a repository, and their changes."""
