"""Consumers of the registry's events: the publisher takes them from the outbox and hands them to its sinks.

Runs in jobs. The registry's changes create the events (lading.registry.events), and import nothing of this package.
"""
