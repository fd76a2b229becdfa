"""Vulnerabilities: data about them, and which packages have them. It knows neither stores, HTTP nor settings."""
