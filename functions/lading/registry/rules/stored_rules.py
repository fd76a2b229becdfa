"""StoredRules: how changes and jobs read the registry's rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lading.registry.pagination import scan_all
from lading.registry.rules.effective import (
    NO_LOCAL_RULES,
    EffectiveRules,
    LocalRules,
    check_known,
    effective_rules,
    grace_period,
    immutable_of,
    namespace_of,
    rule_keys,
    undelete_window,
)
from lading.registry.rules.immutable import ImmutableTags
from lading.registry.rules.rule_types import CLEANUP
from lading_storage.protocols import Found, MetadataStore, Write
from lading_storage.records.core import Key
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules


@dataclass(frozen=True, slots=True)
class AllRules:
    """All rules at one moment, for a job that works on all repositories.

    Attributes:
        registry: the rules of the registry, or None.
        namespaces: the rules of the namespaces, by name.
        local: the rules of this process.
    """

    registry: RegistryRules | None
    namespaces: Mapping[str, NamespaceRules]
    local: LocalRules

    def of(self, repository: str) -> EffectiveRules:
        """Return the rules in effect in a repository."""
        return EffectiveRules(repository, self.registry, self.namespaces.get(namespace_of(repository)), self.local)

    def undelete(self, now: datetime) -> timedelta:
        """Return the shortest undelete window of all repositories."""
        return undelete_window(self.registry, self.local, now)

    @property
    def grace(self) -> timedelta:
        """The grace period."""
        return grace_period(self.registry, self.local)

    @property
    def has_policies(self) -> bool:
        """Whether any of the rules are clean-up policies."""
        return any(CLEANUP.of(each) for each in (self.registry, *self.namespaces.values()))

    @property
    def additional_immutable(self) -> ImmutableTags:
        """The patterns of this process for immutable tags, without those that the registry's rules have as well."""
        recorded = immutable_of(self.registry)
        local = self.local.immutable
        return ImmutableTags(
            tuple(each for each in local.rules if each not in recorded.rules),
            tuple(each for each in local.exceptions if each not in recorded.exceptions),
        )

    @property
    def guard(self) -> list[Write]:
        """See EffectiveRules.guard."""
        return self.of("").guard

    def values(self) -> list[Any]:
        """Return all values that are set, in a stable order, without versions and changes."""
        records = [
            *([self.registry] if self.registry else []),
            *sorted(self.namespaces.values(), key=lambda each: each.id),
        ]
        return [
            (each.id, name, getattr(each, name.replace("-", "_"))) for each in records for name in sorted(each.given)
        ]


class StoredRules:
    """The rules of one registry, as its metadata store has them."""

    def __init__(self, metadata: MetadataStore, local: LocalRules = NO_LOCAL_RULES) -> None:
        """Read the rules in `metadata`; those of this process, `local`, tighten them."""
        self.local = local
        self._metadata = metadata
        self._prepare: Callable[[], object] | None = None

    def prepare_with(self, prepare: Callable[[], object]) -> None:
        """Call `prepare` before the rules are read next, and again until it raises nothing."""
        self._prepare = prepare

    def keys(self, repository: str) -> list[Key[Any]]:
        """Return the keys to read with whatever decides a change of a repository. Raises StorageError."""
        self._run_prepare()
        return rule_keys(repository)

    def of(self, found: Found, repository: str) -> EffectiveRules:
        """Return the rules in effect in a repository. `found` has the records of `keys`. Raises Unavailable."""
        return effective_rules(found, repository, self.local)

    def read(self, repository: str) -> EffectiveRules:
        """Read the rules in effect in a repository, for a report or a plan. Raises StorageError."""
        return self.of(self._metadata.read(self.keys(repository)), repository)

    def read_all(self) -> AllRules:
        """Read all rules. Raises StorageError, such as Unavailable if a newer release wrote some.

        The registry's are read first: a change of a namespace meanwhile gives them a new version.
        """
        self._run_prepare()
        registry = self._metadata.read([REGISTRY_RULES])[REGISTRY_RULES]
        namespaces = {each.id: each for each in scan_all(self._metadata, NamespaceRules)}
        for rules in [*([registry] if registry else []), *namespaces.values()]:
            check_known(rules)
        return AllRules(registry, namespaces, self.local)

    def _run_prepare(self) -> None:
        # Another thread may set it to None at any moment; to call it twice is harmless.
        prepare = self._prepare
        if prepare is not None:
            prepare()
            self._prepare = None
