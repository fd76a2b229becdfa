"""Webhooks: addresses that they may reach, requests, deliveries, commands."""
