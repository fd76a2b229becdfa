"""Events on their way from the outbox to consumers: formats, the publisher, Pub/Sub, webhooks."""
