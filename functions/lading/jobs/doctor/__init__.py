"""Checks of `lading doctor`: small real calls that verify a deployment."""
