"""A page of the repositories that a caller may pull from, at a cost that follows the page.

Names that the caller's patterns tell are read by key; only the names that begin as a glob does are scanned, in pages
that double as long as a scan goes on. What one request looks at is bounded: then fewer than `n` names come with a Link,
as the distribution-spec allows. Where that ends between names that the caller must not see, the Link has a cursor that
tells none of them (auth.cursors).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lading.auth.patterns import AFTER_NAMES, ExactNames, NameRange, Patterns
from lading.registry.registry import Registry

FIRST_SCAN: Final = 8
"""Records of the first page of a scan: most folders hold few repositories."""

MAX_SCAN: Final = 512
MAX_KEYS: Final = 500
"""Records of one call to the store."""

MAX_SCANNED: Final = 5_000
MAX_CALLS: Final = 100
"""Records, and calls to the store, of one request: it ends after the first call that reaches one of these."""

MAX_COMPARISONS: Final = 100_000
"""Names times globs, of one request: a name takes 0.5 to 1.5 µs for each glob that begins as it does."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Some names, sorted.

    next    after which text the next page begins, or "" at the end of the listing
    hidden  whether `next` can be the name of a repository that the caller must not see
    """

    names: Sequence[str]
    next: str = ""
    hidden: bool = False


@dataclass(slots=True)
class _Search:
    """What one request has found so far, and where it is."""

    registry: Registry
    patterns: Patterns
    size: int
    found: list[str] = field(default_factory=list)
    scanned: int = 0
    compared: int = 0
    calls: int = 0
    cursor: str = ""
    hidden: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether there are names for the page and one more, or it has looked at as much as it may."""
        too_much = self.scanned >= MAX_SCANNED or self.calls >= MAX_CALLS or self.compared >= self.max_compared
        return len(self.found) > self.size or too_much

    @property
    def max_compared(self) -> int:
        """How many names one request compares with globs."""
        return max(1, MAX_COMPARISONS // max(1, self.patterns.max_globs_per_name))

    @property
    def missing_count(self) -> int:
        return self.size + 1 - len(self.found)

    def take(self, part: ExactNames | NameRange) -> bool:
        """Look through a part; returns whether it has come to its end."""
        return self._look_up(part) if isinstance(part, ExactNames) else self._scan(part)

    def _look_up(self, part: ExactNames) -> bool:
        start, count = 0, 0
        while start < len(part.names) and not self.is_complete:
            count = min(max(self.missing_count, 2 * count), MAX_KEYS)
            names = part.names[start : start + count]
            self.found += self.registry.existing(names)
            self._advance(names[-1], len(names), hidden=False)
            start += count
        return start >= len(part.names)

    def _scan(self, part: NameRange) -> bool:
        after, count = (
            part.after,
            self.missing_count if part.whole and not part.prefix else min(self.missing_count, FIRST_SCAN),
        )
        while not self.is_complete:
            count = min(count, MAX_SCAN, self.max_compared - self.compared)
            page = self.registry.repositories(after, count)
            below = (name for name in page.items if name.startswith(part.prefix))
            self.found += [name for name in below if self.patterns.matches(name)]
            self.compared += len(page.items)
            if not page.next or not page.next.startswith(part.prefix):
                self._advance(part.prefix + AFTER_NAMES, len(page.items) + 1, hidden=False)
                return True
            after = page.next
            self._advance(after, count + 1, hidden=self.found[-1:] != [after])
            count *= 2
        return False

    def _advance(self, place: str, looked: int, *, hidden: bool) -> None:
        self.cursor, self.hidden = place, hidden
        self.scanned += looked
        self.calls += 1


def page_of(registry: Registry, patterns: Patterns, after: str, size: int) -> CatalogPage:
    """Return the first `size` names after `after` that match and are there, or as many as one request finds."""
    if not size:
        return CatalogPage([])
    search = _Search(registry, patterns, size)
    complete = all(search.take(part) for part in patterns.parts(after))
    if len(search.found) > size:
        return CatalogPage(search.found[:size], search.found[size - 1])
    return CatalogPage(search.found) if complete else CatalogPage(search.found, search.cursor, search.hidden)
