"""Grants by who they are for, prepared once for each version of their file: a caller can have thousands."""

from collections.abc import Iterable
from functools import cached_property

from lading.auth import patterns
from lading.auth.access import Action
from lading.auth.access_files import Grant, read_grants

EVERY_USER = "*"
"""Who, in a grant, stands for every user of the file of users."""


class Rights:
    """What all the grants of one caller let it do. Any thread may use it."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        """Prepare grants, in the order of their lines."""
        self._grants = tuple(grants)
        self._of_name: dict[str, list[Grant]] = {}
        self._of_globs = [grant for grant in self._grants if "*" in grant.repositories]
        for grant in self._grants:
            if "*" not in grant.repositories:
                self._of_name.setdefault(grant.repositories, []).append(grant)

    @cached_property
    def readable_patterns(self) -> tuple[str, ...]:
        """Patterns of the repositories that may be pulled from."""
        return tuple(grant.repositories for grant in self._grants if Action.PULL in grant.may)

    def grant_for(self, action: Action, repository: str) -> Grant | None:
        """Return the first grant that allows an action on a repository, or None."""
        exact = next((grant for grant in self._of_name.get(repository, ()) if action in grant.may), None)
        for grant in self._of_globs:
            if exact and exact.line < grant.line:
                break
            if action in grant.may and patterns.matches([grant.repositories], repository):
                return grant
        return exact


class Grants:
    """The grants of a file. Any thread may use them."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        """Take grants, in the order of their lines."""
        self._of: dict[str, list[Grant]] = {}
        for grant in grants:
            self._of.setdefault(grant.principal, []).append(grant)
        self._rights: dict[tuple[str, bool], Rights] = {}

    def rights_of(self, principal: str, is_user: bool) -> Rights:
        """Return the rights of a principal, with those of every user where it is one of the file of users."""
        # All whom no grant names share one entry, so that the names that clients invent take no memory.
        key = (principal if principal in self._of else "", is_user)
        rights = self._rights.get(key)
        if rights is None:
            named = self._of.get(principal, [])
            shared = self._of.get(EVERY_USER, []) if is_user and principal != EVERY_USER else []
            rights = self._rights[key] = Rights(sorted([*named, *shared], key=lambda grant: grant.line))
        return rights


def parse(text: str) -> Grants:
    """Return the grants of a file's text. Raises FileInvalid."""
    return Grants(read_grants(text))
