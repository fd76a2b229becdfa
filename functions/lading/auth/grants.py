"""Grants indexed by principal. The index is built once for each version of the file: a caller can have thousands."""

from collections.abc import Iterable
from functools import cached_property

from lading.auth import patterns
from lading.auth.access import Action
from lading.auth.access_files import Grant, read_grants

EVERY_USER = "*"
"""Principal of a grant that applies to every user of the users file."""


class Rights:
    """The combined grants of one caller. Thread-safe."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        """Index grants, given in the order of their lines."""
        self._grants = tuple(grants)
        self._by_name: dict[str, list[Grant]] = {}
        self._globs = [grant for grant in self._grants if "*" in grant.repositories]
        for grant in self._grants:
            if "*" not in grant.repositories:
                self._by_name.setdefault(grant.repositories, []).append(grant)

    @cached_property
    def readable_patterns(self) -> tuple[str, ...]:
        """Patterns of the repositories that the caller may pull from."""
        return tuple(grant.repositories for grant in self._grants if Action.PULL in grant.may)

    def grant_for(self, action: Action, repository: str) -> Grant | None:
        """Return the first grant that allows an action on a repository, or None."""
        exact = next((grant for grant in self._by_name.get(repository, ()) if action in grant.may), None)
        for grant in self._globs:
            if exact and exact.line < grant.line:
                break
            if action in grant.may and patterns.matches([grant.repositories], repository):
                return grant
        return exact


class Grants:
    """The grants of a file. Thread-safe."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        """Index grants, given in the order of their lines."""
        self._by_principal: dict[str, list[Grant]] = {}
        for grant in grants:
            self._by_principal.setdefault(grant.principal, []).append(grant)
        self._rights: dict[tuple[str, bool], Rights] = {}

    def rights_of(self, principal: str, is_user: bool) -> Rights:
        """Return the rights of a principal, including those of every user if `is_user`.

        Args:
            principal: an authenticated name.
            is_user: whether the users file has the name.
        """
        # Principals that no grant names share one entry, so that names which clients invent take no memory.
        key = (principal if principal in self._by_principal else "", is_user)
        rights = self._rights.get(key)
        if rights is None:
            named = self._by_principal.get(principal, [])
            shared = self._by_principal.get(EVERY_USER, []) if is_user and principal != EVERY_USER else []
            rights = self._rights[key] = Rights(sorted([*named, *shared], key=lambda grant: grant.line))
        return rights


def parse(text: str) -> Grants:
    """Return the grants of a file's text. Raises FileInvalid."""
    return Grants(read_grants(text))
