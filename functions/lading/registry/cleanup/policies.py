"""Clean-up policies: what each keeps or deletes. They are Artifact Registry's, and a little more.

Artifact Registry's words are kept: a package is a repository here, and a version is a manifest, whose name is its
digest (https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from lading.registry.globs import matches as glob_matches


class TagState(Enum):
    """Whether versions with tags are meant, or those without, or both."""

    ANY = "any"
    TAGGED = "tagged"
    UNTAGGED = "untagged"


@dataclass(frozen=True, slots=True)
class Version:
    """What conditions ask of a manifest.

    tags      that name it
    attached  tags that only attach it to another manifest, as cosign's do
    created   when it was pushed first
    used      when it was last pulled, or else pushed
    """

    digest: str
    tags: tuple[str, ...]
    referrer_tags: tuple[str, ...]
    created: datetime
    last_used: datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """What a policy applies to: all that is set must hold, and of a list some item.

    tag_prefixes, tag_globs   some one tag begins with, or matches, one of these
    version_prefixes          the digest begins with one of these
    package_prefixes, repository_globs   the repository's name begins with, or matches, one of these
    older_than, newer_than    since the push
    stale_for                 since the last pull; what was never pulled counts from its push
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
        """Whether this is about manifests of a repository at all."""
        return (not self.package_prefixes or repository.startswith(self.package_prefixes)) and (
            not self.repository_globs or any(glob_matches(glob, repository) for glob in self.repository_globs)
        )

    @property
    def has_tag_filter(self) -> bool:
        """Whether this is about some tags, those that attach among them."""
        return bool(self.tag_prefixes or self.tag_globs)

    @property
    def applies_to_tags(self) -> bool:
        """Whether this is about tags, be it some or all, and not about whole manifests."""
        return self.has_tag_filter or self.tag_state is TagState.TAGGED

    def selected_tags(self, version: Version) -> tuple[str, ...]:
        """The tags of a manifest that are meant, where this is about tags."""
        # A condition that names tags may mean those that attach; one that only says "tagged" does not.
        tags = (*version.tags, *version.referrer_tags) if self.has_tag_filter else version.tags
        return tuple(tag for tag in tags if self._selects_tag(tag))

    def matches(self, version: Version, now: datetime) -> bool:
        """Whether a manifest of a repository that is covered is meant, by one tag at least where this is about tags."""
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
    """One policy.

    deletes     whether it deletes what it applies to, or keeps it; keeping wins
    where       what it applies to
    keep_count  how many it keeps of those that were pushed last, of each repository, or None for all
    immutable   whether it may delete what an immutable tag names
    """

    name: str
    deletes: bool
    condition: Condition
    keep_count: int | None = None
    immutable: bool = False
