"""Records of the rules that belong to the registry, so that every process and command reads the same ones.

    rules/registry      the rules of the whole registry
    namespaces/{name}   the rules of a namespace: of all repositories whose first segment is its name

A commit that changes any rule gives `rules/registry` a new version. So a commit that verifies that one record fails if
any rule has changed since it was read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from lading_storage.records.core import Key, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet(Record):
    """Rules, and their last change. A rule that is not in `given` has its default.

    Attributes:
        given: the names of the rules that are set. A reader that does not know one of them must refuse the record: a
            newer release wrote it, and the rule may protect something.
        edited: the names of the rules that were last set, or reset, by a change, and not by a configuration.
        immutable: tags that are created once, as REPOSITORY:TAG.
        allow_missing: what manifests may lack, as REPOSITORY:urls and REPOSITORY:sparse.
        undelete: the undelete window, in seconds.
        former_undelete: the undelete window before it was shortened, in seconds.
        former_until: until when the former window applies, or None.
        grace: how long garbage collection keeps a blob that no manifest references, in seconds.
        cleanup: the clean-up policies, as JSON.
        cleanup_mode: "plan" or "apply".
        policies: what images have to fulfil to be pulled, as JSON (lading.policies.policy_json).
        serial: the serial of the configuration that was applied last, or 0.
        number: the number of changes so far.
        changed: when the rules were last changed.
        by: who changed them, or "".
    """

    given: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    allow_missing: tuple[str, ...] = ()
    undelete: int = 0
    former_undelete: int = 0
    former_until: datetime | None = None
    grace: int = 0
    cleanup: str = ""
    cleanup_mode: str = ""
    policies: str = ""
    serial: int = 0
    number: int = 0
    changed: datetime
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRules(RuleSet):
    """Rules of the whole registry. There is one such record, REGISTRY_RULES."""

    KIND: ClassVar[str] = "rules"
    NUMBER: ClassVar[int] = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceRules(RuleSet):
    """Rules of a namespace, which add to those of the registry. The id is the namespace."""

    KIND: ClassVar[str] = "namespaces"
    NUMBER: ClassVar[int] = 18


REGISTRY_RULES: Final = Key(RegistryRules, "registry")
"""The key of the only RegistryRules."""
