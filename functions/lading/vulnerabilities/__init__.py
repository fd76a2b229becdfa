"""Vulnerabilities: data about them, and which packages have them. It knows neither stores, surfaces nor settings."""
