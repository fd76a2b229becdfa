"""Delete, restore and roll back."""
