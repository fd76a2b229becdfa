"""Tags and their history."""
