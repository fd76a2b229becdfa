"""Deleting, restoring and rolling back."""
