"""Fixtures: the fake of IAM."""

from tests.support.auth_fixtures import iam, local_stores, world

__all__ = ["iam", "local_stores", "world"]
