"""Policies in effect in each repository, as the rules of the registry and of its namespace have them.

    pull ──▶ begin ──▶ the read of the manifest, with 2 documents more every POLICY_TTL ──▶ of ──▶ policies

No pull takes a round trip for policies. A process that has read them uses them for POLICY_TTL, so that a change counts
everywhere after that time; none is used for longer, whatever happens to the store. Where there are no policies, their
package is never imported.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lading.registry.rules.effective import namespace_of, rule_keys
from lading.registry.rules.policies_in_effect import policies_covering, policies_text
from lading_storage.protocols import Found
from lading_storage.records.core import Key

if TYPE_CHECKING:
    from lading.policies.policy import Policy

POLICY_TTL: Final = 30.0
"""Seconds for which this process uses policies that it has read."""

MAX_NAMESPACES: Final = 1_000
"""Namespaces whose policies are cached."""


class _Known(NamedTuple):
    """Policies as the rules had them when they were read: the JSON of the registry's, and of the namespace's."""

    texts: tuple[str, str]
    read_at: float


class PolicyCache:
    """Policies of this process. Thread-safe: an entry is replaced as a whole, and reading it twice is harmless."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        """Take the time from `timer`, in seconds."""
        self._timer = timer
        self._namespaces: dict[str, _Known] = {}

    def begin(self, repository: str) -> "PolicyRead":
        """Begin to decide about a repository."""
        known = self._namespaces.get(namespace_of(repository))
        is_fresh = known is not None and self._timer() - known.read_at < POLICY_TTL
        return PolicyRead(self, repository, known, is_fresh)

    def keep(self, repository: str, texts: tuple[str, str]) -> None:
        """Keep the policies that were just read."""
        if len(self._namespaces) >= MAX_NAMESPACES:
            self._namespaces = {}
        self._namespaces[namespace_of(repository)] = _Known(texts, self._timer())


class PolicyRead:
    """The policies of one decision. What is fresh when it begins stays so until its end.

    keys   the keys to read with what is decided about: none while the policies are fresh
    names  whether a policy named the repository when policies were last read, however long ago
    """

    __slots__ = ("_cache", "_known", "_repository", "keys")

    def __init__(self, cache: PolicyCache, repository: str, known: _Known | None, is_fresh: bool) -> None:
        """Use what `cache` knows."""
        self._cache = cache
        self._repository = repository
        self._known = known
        self.keys: Sequence[Key[Any]] = () if is_fresh else rule_keys(repository)

    @property
    def names(self) -> bool:
        """See above. Raises UnknownRules."""
        return (
            self._known is not None
            and any(self._known.texts)
            and bool(policies_covering(self._known.texts, self._repository))
        )

    def of(self, found: Found) -> "tuple[Policy, ...]":
        """Return the policies that name the repository. `found` has the records of `keys`. Raises UnknownRules."""
        if self.keys:
            registry, own = self.keys
            texts = policies_text(found[registry]), policies_text(found[own])
            self._cache.keep(self._repository, texts)
        else:
            assert self._known is not None
            texts = self._known.texts
        return policies_covering(texts, self._repository) if any(texts) else ()
