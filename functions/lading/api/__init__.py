"""Surfaces: the distribution API, Lading's own management API, health checks; and their handlers, a module per topic.

Handlers know HTTP and contain no rules of the registry.
"""
