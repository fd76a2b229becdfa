"""Fixtures: the fake of IAM, and worlds for it."""

from tests.support.auth_fixtures import iam, local_stores, make_app, world

__all__ = ["iam", "local_stores", "make_app", "world"]
