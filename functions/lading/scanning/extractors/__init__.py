"""Extractors: a module for each format in which files declare packages."""
