"""Verification of signatures, by the keys and certificates that the caller gives: no store, no network."""
