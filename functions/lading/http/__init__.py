"""HTTP itself: requests, responses, streaming. Knows no rules of a registry."""
