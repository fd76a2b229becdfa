"""Pagination of the repositories that a caller may pull from, at a cost in proportion to the page.

Exact names in the caller's patterns are read by key; only names with the literal prefix of a glob are scanned, in pages
that double in size as a scan goes on. The records that one request scans are limited: at the limit a page of fewer than
`n` names comes with a Link, as the distribution-spec permits. Where the limit falls between names that the caller must
not see, the Link has an encrypted cursor that reveals none of them (auth.cursors).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lading.auth.patterns import AFTER_NAMES, ExactNames, NameRange, Patterns
from lading.registry.registry import Registry

FIRST_SCAN: Final = 8
"""Records of the first page of a scan: most folders contain few repositories."""

MAX_SCAN: Final = 512
MAX_KEYS: Final = 500
"""Maximum records of one call to the store: of a scan, and of a read by key."""

MAX_SCANNED: Final = 5_000
MAX_CALLS: Final = 100
"""Maximum records, and calls to the store, of one request, which ends after the first call that reaches either."""

MAX_COMPARISONS: Final = 100_000
"""Maximum comparisons of names with globs in one request: each takes 0.5 to 1.5 µs where both have the same prefix."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """A page of sorted names.

    next    the cursor after which the next page begins, or "" at the end of the listing
    hidden  whether `next` can be the name of a repository that the caller must not see
    """

    names: Sequence[str]
    next: str = ""
    hidden: bool = False


@dataclass(slots=True)
class _Search:
    """The state of the search of one request."""

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
        """Whether there is one name more than the page has, or a limit is reached."""
        at_limit = self.scanned >= MAX_SCANNED or self.calls >= MAX_CALLS or self.compared >= self.max_compared
        return len(self.found) > self.size or at_limit

    @property
    def max_compared(self) -> int:
        """The maximum number of names that one request compares with globs."""
        return max(1, MAX_COMPARISONS // max(1, self.patterns.max_globs_per_name))

    @property
    def missing_count(self) -> int:
        return self.size + 1 - len(self.found)

    def take(self, part: ExactNames | NameRange) -> bool:
        """Search a part of the patterns; return whether its end was reached."""
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
            in_range = (name for name in page.items if name.startswith(part.prefix))
            self.found += [name for name in in_range if self.patterns.matches(name)]
            self.compared += len(page.items)
            if not page.next or not page.next.startswith(part.prefix):
                self._advance(part.prefix + AFTER_NAMES, len(page.items) + 1, hidden=False)
                return True
            after = page.next
            self._advance(after, count + 1, hidden=self.found[-1:] != [after])
            count *= 2
        return False

    def _advance(self, cursor: str, scanned: int, *, hidden: bool) -> None:
        self.cursor, self.hidden = cursor, hidden
        self.scanned += scanned
        self.calls += 1


def page_of(registry: Registry, patterns: Patterns, after: str, size: int) -> CatalogPage:
    """Return a page of the repositories that match `patterns`.

    Args:
        registry: has the repositories.
        patterns: the caller's readable patterns.
        after: the cursor after which the page begins.
        size: the maximum number of names.

    Returns:
        The first `size` names, or fewer with a cursor where the limits of one request are reached.
    """
    if not size:
        return CatalogPage([])
    search = _Search(registry, patterns, size)
    complete = all(search.take(part) for part in patterns.parts(after))
    if len(search.found) > size:
        return CatalogPage(search.found[:size], search.found[size - 1])
    return CatalogPage(search.found) if complete else CatalogPage(search.found, search.cursor, search.hidden)
