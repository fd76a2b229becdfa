"""The endpoints of the distribution-spec and Lading's own: HTTP in front of the registry, one module per topic.

Handlers know HTTP and contain no rules of the registry.
"""
