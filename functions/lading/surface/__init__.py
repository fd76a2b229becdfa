"""What every surface is made of: its routes, the context of a request, and how it responds to errors."""
