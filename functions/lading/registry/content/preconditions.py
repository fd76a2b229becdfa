"""What a write may demand of what a tag or digest names now (RFC 9110, section 13.1).

It is checked on the records that a change has read, and the change commits at their versions: nothing comes between the
check and the write.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from lading.registry.errors import PRECONDITION_FAILED, RegistryError

ANY: Final = "*"
"""Stands for every digest."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold for a write to happen.

    match       digests of which the reference must name one, or None where it need not exist
    none_match  digests of which it may name none
    """

    match: Set[str] | None = None
    none_match: Set[str] = frozenset()

    def check(self, current: str) -> None:
        """Raise PRECONDITION_FAILED unless it holds where the reference names `current`, or nothing if that is ""."""
        named = {current, ANY} if current else frozenset[str]()
        if (self.match is not None and self.match.isdisjoint(named)) or not self.none_match.isdisjoint(named):
            raise RegistryError(PRECONDITION_FAILED)


UNCONDITIONAL: Final = Precondition()
