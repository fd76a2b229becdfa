"""Fixtures for webhooks."""

from tests.events.webhooks.webhook_fixtures import clock, endpoint, webhooks

__all__ = ["clock", "endpoint", "webhooks"]
