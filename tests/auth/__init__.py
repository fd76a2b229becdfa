"""Who may do what: authorizers, tokens, robots, and the table of all principals and routes."""
