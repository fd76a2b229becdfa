"""Fixtures of these tests."""

from tests.support.osv_fixtures import databases_of

__all__ = ["databases_of"]
