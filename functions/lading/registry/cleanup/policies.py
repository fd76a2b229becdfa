"""Clean-up policies: those of Artifact Registry, with a few extensions.

The terms are Artifact Registry's: a package is a repository, and a version is a manifest, whose name is its digest
(https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from lading.registry.globs import matches as glob_matches


class TagState(Enum):
    """Which versions a condition selects: those with tags, those without, or both."""

    ANY = "any"
    TAGGED = "tagged"
    UNTAGGED = "untagged"


@dataclass(frozen=True, slots=True)
class Version:
    """Manifest, as conditions see it.

    tags           tags of its own
    referrer_tags  tags derived from another manifest's digest, as cosign's are
    created        when it was first pushed
    last_used      when it was last pulled, or, if never, first pushed
    """

    digest: str
    tags: tuple[str, ...]
    referrer_tags: tuple[str, ...]
    created: datetime
    last_used: datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition of a policy: every field that is set must match, and one item of a list is enough.

    tag_prefixes, tag_globs   one tag begins with a prefix, and matches a glob
    version_prefixes          the digest begins with a prefix
    package_prefixes, repository_globs   the repository's name begins with a prefix, and matches a glob
    older_than, newer_than    time since the first push
    stale_for                 time since the last pull, or, if never pulled, since the first push
    """

    tag_state: TagState = TagState.ANY
    tag_prefixes: tuple[str, ...] = ()
    tag_globs: tuple[str, ...] = ()
    version_prefixes: tuple[str, ...] = ()
    package_prefixes: tuple[str, ...] = ()
    repository_globs: tuple[str, ...] = ()
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    stale_for: timedelta | None = None

    def covers(self, repository: str) -> bool:
        """Return whether this can select manifests of a repository."""
        return (not self.package_prefixes or repository.startswith(self.package_prefixes)) and (
            not self.repository_globs or any(glob_matches(glob, repository) for glob in self.repository_globs)
        )

    @property
    def has_tag_filter(self) -> bool:
        """Whether this selects tags by name, referrer tags among them."""
        return bool(self.tag_prefixes or self.tag_globs)

    @property
    def applies_to_tags(self) -> bool:
        """Whether this selects tags, by name or all of them, rather than whole manifests."""
        return self.has_tag_filter or self.tag_state is TagState.TAGGED

    def selected_tags(self, version: Version) -> tuple[str, ...]:
        """Return the tags of a manifest that this selects, if it selects tags."""
        # A condition with names can select referrer tags; one with only "tagged" does not.
        tags = (*version.tags, *version.referrer_tags) if self.has_tag_filter else version.tags
        return tuple(tag for tag in tags if self._selects_tag(tag))

    def matches(self, version: Version, now: datetime) -> bool:
        """Return whether this selects a manifest of a covered repository, by at least one tag if it selects tags."""
        return (
            self._matches_tags(version)
            and (not self.version_prefixes or version.digest.startswith(self.version_prefixes))
            and (self.older_than is None or now - version.created > self.older_than)
            and (self.newer_than is None or now - version.created < self.newer_than)
            and (self.stale_for is None or now - version.last_used > self.stale_for)
        )

    def _matches_tags(self, version: Version) -> bool:
        tags = self.selected_tags(version)
        if self.has_tag_filter and not tags:
            return False
        return self.tag_state is TagState.ANY or (self.tag_state is TagState.TAGGED) == bool(tags)

    def _selects_tag(self, tag: str) -> bool:
        return (not self.tag_prefixes or tag.startswith(self.tag_prefixes)) and (
            not self.tag_globs or any(glob_matches(glob, tag) for glob in self.tag_globs)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Clean-up policy.

    deletes     whether it deletes what it selects, or keeps it; keeping wins
    condition   what it selects
    keep_count  how many of the versions that were pushed last it keeps in each repository, or None for all
    immutable   whether it may delete manifests with immutable tags
    """

    name: str
    deletes: bool
    condition: Condition
    keep_count: int | None = None
    immutable: bool = False
