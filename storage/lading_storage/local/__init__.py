"""Drivers for a local disk: a folder of blobs and an SQLite file of metadata."""
