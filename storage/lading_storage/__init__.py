"""Blob and metadata storage: two protocols, the records they store, and two drivers for each protocol.

The drivers in `local` use a folder and an SQLite file; those in `google` use Cloud Storage and Firestore. This package
contains no rules of the registry and nothing of HTTP's server side.
"""
