"""Scanning: which packages an image contains, and which of them are vulnerable. It knows neither stores nor HTTP."""
