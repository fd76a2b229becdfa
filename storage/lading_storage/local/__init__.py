"""The drivers on a disk."""
