"""The rules in effect in a repository: the registry's, its namespace's, and those of this process.

The registry's rules are floors. A namespace adds to them, and so do the options of a command, but neither takes
anything away: a tag is immutable if any of the three says so, and the longest undelete window counts.

A change reads both records in the read that decides it, and verifies in its commit that they are still the same. It is
refused if they were not read, or if a newer release wrote a rule that this one does not know.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from lading.registry.errors import tag_immutable
from lading.registry.rules.immutable import ImmutableTags
from lading.registry.rules.missing_content import MissingContent
from lading.registry.rules.rule_types import (
    ALLOW_MISSING,
    BY_NAME,
    CLEANUP_MODE,
    DEFAULT_GRACE,
    DEFAULT_UNDELETE,
    GRACE,
    IMMUTABLE,
    UNDELETE,
    RuleType,
)
from lading_storage.errors import Unavailable, UnknownRules
from lading_storage.protocols import Found, Verify, Write, key_of
from lading_storage.records.core import Key
from lading_storage.records.rules import REGISTRY_RULES, NamespaceRules, RegistryRules, RuleSet

MAX_PARSED: Final = 1_000
"""Lists of patterns whose parsed form is cached: every change uses the same few."""


NOTHING_IMMUTABLE: Final = ImmutableTags()
NOTHING_MISSING: Final = MissingContent()


@dataclass(frozen=True, slots=True)
class LocalRules:
    """Rules of this process alone: those of a command's options. They only tighten rules that the registry has.

    Attributes:
        immutable: tags that are immutable here as well.
        missing: what manifests may lack while the registry has no rule about that.
        undelete: the undelete window here, or None.
        grace: the grace period here, or None.
    """

    immutable: ImmutableTags = NOTHING_IMMUTABLE
    missing: MissingContent = NOTHING_MISSING
    undelete: timedelta | None = None
    grace: timedelta | None = None


NO_LOCAL_RULES: Final = LocalRules()


def namespace_of(repository: str) -> str:
    """Return the namespace of a repository: the first segment of its name."""
    return repository.partition("/")[0]


def rule_keys(repository: str) -> list[Key[Any]]:
    """Return the keys to read with whatever decides a change of a repository."""
    return [REGISTRY_RULES, Key(NamespaceRules, namespace_of(repository))]


def check_known(rules: RuleSet) -> None:
    """Raise UnknownRules if rules contain one that this release does not know."""
    if unknown := set(rules.given) - set(BY_NAME):
        raise UnknownRules(
            f"{rules.KIND}/{rules.id} has rules of a newer release ({', '.join(sorted(unknown))}): nothing is changed"
            " by this one; use the newer release"
        )


@dataclass(frozen=True, slots=True)
class EffectiveRules:
    """The rules in effect in a repository.

    Attributes:
        repository: the repository.
        registry: the rules of the registry, or None: it has none so far.
        namespace: the rules of the repository's namespace, or None.
        local: the rules of this process.
    """

    repository: str
    registry: RegistryRules | None
    namespace: NamespaceRules | None
    local: LocalRules = NO_LOCAL_RULES

    @property
    def guard(self) -> list[Write]:
        """The write by which a commit fails if any rule has changed since these were read."""
        return [Verify(self.registry.key, self.registry.version)] if self.registry else []

    def immutable_rule(self, tag: str) -> str:
        """Return the rule that makes a tag immutable, or ""."""
        levels = (immutable_of(self.registry), immutable_of(self.namespace), self.local.immutable)
        return next((rule for level in levels if (rule := level.rule(self.repository, tag))), "")

    def check_mutable(self, tag: str) -> None:
        """Raise TAG_IMMUTABLE with the rule if a tag is immutable."""
        if rule := self.immutable_rule(tag):
            raise tag_immutable(tag, rule)

    @property
    def missing(self) -> MissingContent:
        """What manifests may lack."""
        given = ALLOW_MISSING.of(self.registry)
        allowed = self.local.missing if given is None else _missing_of(_patterns(given))
        forbidden = _missing_of(_patterns(ALLOW_MISSING.of(self.namespace)))
        return replace(allowed, exceptions=(*allowed.exceptions, *forbidden.exceptions))

    def undelete(self, now: datetime) -> timedelta:
        """Return the undelete window."""
        return max(undelete_window(self.registry, self.local, now), undelete_of(self.namespace, now) or timedelta(0))

    def applies_cleanup(self, default: bool) -> bool:
        """Return whether clean-up policies are applied, rather than planned, where `default` holds without a rule."""
        modes = [CLEANUP_MODE.of(self.registry), CLEANUP_MODE.of(self.namespace)]
        return (default if modes[0] is None else modes[0] == "apply") and modes[1] in (None, "apply")


def effective_rules(found: Found, repository: str, local: LocalRules = NO_LOCAL_RULES) -> EffectiveRules:
    """Return the rules in effect in a repository.

    Args:
        found: with the records of `rule_keys`.
        repository: the repository.
        local: the rules of this process.

    Raises:
        UnknownRules: a newer release wrote them.
    """
    registry_key, namespace_key = rule_keys(repository)
    for key in (registry_key, namespace_key):
        if not found.has_read(key):
            raise AssertionError("a change that has not read the rules")  # also with python -O
    registry, namespace = found[registry_key], found[namespace_key]
    for rules in (registry, namespace):
        if rules is not None:
            check_known(rules)
    return EffectiveRules(repository, registry, namespace, local)


def undelete_of(rules: RuleSet | None, now: datetime) -> timedelta | None:
    """Return the undelete window that rules set, or None; a former, longer one applies until it has passed."""
    given = UNDELETE.of(rules)
    seconds = given if isinstance(given, int) else None
    if rules is not None and rules.former_until is not None and now < rules.former_until:
        seconds = max(int(DEFAULT_UNDELETE.total_seconds()) if seconds is None else seconds, rules.former_undelete)
    return None if seconds is None else timedelta(seconds=seconds)


def undelete_window(registry: RegistryRules | None, local: LocalRules, now: datetime) -> timedelta:
    """Return the undelete window of the registry: the shortest that any of its repositories has."""
    return _strictest(undelete_of(registry, now), local.undelete, DEFAULT_UNDELETE)


def grace_period(registry: RegistryRules | None, local: LocalRules) -> timedelta:
    """Return the grace period of the registry."""
    given = GRACE.of(registry)
    return _strictest(timedelta(seconds=given) if isinstance(given, int) else None, local.grace, DEFAULT_GRACE)


def guarded_once(writes: Sequence[Write]) -> list[Write]:
    """Return writes in which each Verify occurs once: a commit that changes several tags needs it only once.

    What the commit changes itself, at the version that was read, needs none.
    """
    changed = {key_of(each) for each in writes if not isinstance(each, Verify)}
    verified = dict.fromkeys(each for each in writes if isinstance(each, Verify) and each.key not in changed)
    return [*(each for each in writes if not isinstance(each, Verify)), *verified]


def _strictest(given: timedelta | None, local: timedelta | None, default: timedelta) -> timedelta:
    values = [each for each in (given, local) if each is not None]
    return max(values, default=default)


def immutable_of(rules: RuleSet | None) -> ImmutableTags:
    """Return the immutable tags of the registry's rules, or of a namespace's. Raises Unavailable."""
    return _parsed_immutable(_patterns(IMMUTABLE.of(rules)))


def _patterns(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


@lru_cache(MAX_PARSED)
def _parsed_immutable(patterns: tuple[str, ...]) -> ImmutableTags:
    with _readable(IMMUTABLE):
        return ImmutableTags.parse(patterns)


@lru_cache(MAX_PARSED)
def _missing_of(patterns: tuple[str, ...]) -> MissingContent:
    with _readable(ALLOW_MISSING):
        return MissingContent.of(patterns)


@contextmanager
def _readable(rule: RuleType) -> Iterator[None]:
    """Raise Unavailable instead of ValueError: a change is refused while its rules cannot be read."""
    try:
        yield
    except ValueError as error:
        raise Unavailable(f"the registry's rule {rule.name} cannot be read: {error}") from None
