"""Deployments (docs/deployments.md): the example deploy-on-push, against strict fakes of the APIs that it calls."""
