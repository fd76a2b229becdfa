"""Drivers for Google Cloud: Cloud Storage and Firestore."""
