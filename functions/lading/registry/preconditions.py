"""Preconditions of a write on what a tag or digest currently points to (RFC 9110, section 13.1).

They are checked against the records that a change has read, and the change commits at the versions of these records, so
nothing can happen between the check and the write.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from lading.registry.errors import PRECONDITION_FAILED, RegistryError

ANY: Final = "*"
"""Matches every digest."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """Condition of a write.

    match       If-Match: digests, one of which the reference must point to; None for no condition
    none_match  If-None-Match: digests, none of which the reference may point to
    """

    match: Set[str] | None = None
    none_match: Set[str] = frozenset()

    def check(self, current: str) -> None:
        """Raise PRECONDITION_FAILED unless the condition holds; `current` is the reference's digest, or ""."""
        matching = {current, ANY} if current else frozenset[str]()
        if (self.match is not None and self.match.isdisjoint(matching)) or not self.none_match.isdisjoint(matching):
            raise RegistryError(PRECONDITION_FAILED)


UNCONDITIONAL: Final = Precondition()
