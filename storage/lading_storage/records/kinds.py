"""All record kinds: the classes of these modules."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

from lading_storage.records import core, deleted, events, jobs, robots, rules, scans, trust
from lading_storage.records.core import Record


def _kinds_of(module: ModuleType) -> Iterator[type[Record]]:
    """Yield the kinds that a module defines, in their order."""
    own = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
    yield from (each for each in own if isinstance(each, type) and issubclass(each, Record) and hasattr(each, "KIND"))


MODULES: Final = (core, robots, deleted, jobs, rules, events, scans, trust)

KINDS: Final = tuple(kind for module in MODULES for kind in _kinds_of(module))

CROSS_REPOSITORY_FIELDS: Final = tuple((kind, field) for kind in KINDS for field in kind.CROSS_REPOSITORY_FIELDS)
"""Fields that can be searched across all repositories. In Firestore, each needs a collection-group index."""
