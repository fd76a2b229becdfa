"""Fixtures: those of tests/auth, and a registry with a few users for attacks upon who may do what."""

from pathlib import Path

import bcrypt
import pytest

from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.corpus.user_headers import Headers
from tests.support.app_client import Client, make_client
from tests.support.auth_fixtures import AppFactory, iam, local_stores, make_app, world
from tests.support.fake_iam_world import RestrictedApp, bearer
from tests.support.server_process import basic

__all__ = ["iam", "local_stores", "make_app", "world"]

USERS = ("alice", "bob", "carol", "dave")
"""Whose passwords are their names."""

PASSWORDS = "".join(f"{name}:{bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode()}\n" for name in USERS)
"""A file of users, hashed as cheaply as bcrypt can."""

GRANTS = """\
alice team/* pull,push,delete
carol team/* pull,push
dave team/* push
"""


@pytest.fixture
def guarded(make_app: AppFactory, tmp_path: Path) -> RestrictedApp:
    """A registry with USERS and GRANTS, where `library/*` is public."""
    users, grants = tmp_path / "users", tmp_path / "grants"
    users.write_text(PASSWORDS)
    grants.write_text(GRANTS)
    return make_app(access="users", users=str(users), grants=str(grants), public="library/*")


@pytest.fixture
def owner(local_stores: Stores) -> Client:
    """A client that may do everything in the same stores."""
    return make_client(Registry(local_stores.blobs, local_stores.metadata))


@pytest.fixture
def headers(guarded: RestrictedApp) -> Headers:
    """Make the headers of a user, or none for "", with a token for `scopes` where some are given."""

    def make(user: str, *scopes: str) -> dict[str, str]:
        authorization = basic(user, user) if user else ""
        if scopes:
            return bearer(guarded.token(*scopes, authorization=authorization))
        return {"Authorization": authorization} if user else {}

    return make
