"""How bytes reach the app; the only package that knows the server library."""
