"""A registry as plain dictionaries: what lives, what can be restored, and what happened to each tag.

It says what must be, and in which cases a request is refused; it knows nothing of stores, links, versions or races.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lading.registry.content.manifest_format import parse_manifest
from lading.registry.content.referrer_tags import (
    attaches,
    attachment_after,
    attachment_of,
    is_referrer_tag,
    referrer_tags_of,
)
from lading_storage.digests import digest_of

IMMUTABLE = "keep"
"""The one tag that is neither moved nor deleted."""


class Refused(Exception):
    """The request is refused, and changes nothing."""


@dataclass(frozen=True)
class Image:
    """A manifest: its bytes, and what they say."""

    content: bytes
    subject: str = ""
    blobs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    cosign_suffix: str = ""

    @classmethod
    def of(cls, content: bytes) -> "Image":
        document = parse_manifest(content, "")
        return cls(content, document.subject, document.blobs, document.children, document.cosign_suffix)

    @property
    def digest(self) -> str:
        return digest_of(self.content)


@dataclass(frozen=True)
class Tombstone:
    """What was deleted: a manifest, or the digest that a tag named."""

    what: str
    deleted: datetime
    cause: str


@dataclass(frozen=True)
class TagEvent:
    """A move."""

    action: str
    before: str
    digest: str
    moved: datetime


@dataclass
class Repository:
    """One repository, at the time that `now` says."""

    name: str
    now: datetime
    exists: bool = False
    deleted: datetime | None = None
    images: dict[str, Image] = field(default_factory=dict)
    """All that ever were."""
    attachments: dict[str, str] = field(default_factory=dict)
    """What lets a tag attach each to another one, since it was created."""
    created: dict[str, datetime] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    tag_tombstones: dict[str, Tombstone] = field(default_factory=dict)
    histories: dict[str, list[TagEvent]] = field(default_factory=dict)
    visible: set[str] = field(default_factory=set)
    """Blobs that can be pulled."""
    events: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Type and action of each change, by tag or digest; of the repository itself by ""."""
    collectable: set[str] = field(default_factory=set)
    """Blobs that no live manifest names: collection removes them, sooner or later."""

    def push(self, image: Image, tag: str) -> None:
        digest = image.digest
        if any(child not in self.live for child in image.children) or (tag and self._is_immutable(tag, digest)):
            raise Refused
        self.images[digest] = image
        pushed = attachment_of(image.cosign_suffix, [tag] if tag else [])
        if digest not in self.live:
            self.created[digest] = self.now
        before = self.attachments[digest] if digest in self.live else pushed
        self.attachments[digest] = attachment_after(before, pushed)
        self._revive(digest, "image.pushed", "push")
        if tag:
            self._move(tag, digest, "push")

    def delete_tag(self, tag: str) -> None:
        if tag not in self.tags or tag == IMMUTABLE:
            raise Refused
        self._remove_tag(tag, f"tag:{tag}")

    def delete(self, digest: str) -> None:
        above = {other for other in self.live if digest in self.images[other].children}
        if digest not in self.live or not all(map(self._is_superseded, above)):
            raise Refused
        going = self._with_dependents(digest, *above)
        if self.tags.get(IMMUTABLE) in going:
            raise Refused
        self._add_tombstones(going, f"manifest:{digest}")
        self._remove_dangling_tags(going, f"manifest:{digest}")

    def delete_all(self) -> None:
        if not self.exists or IMMUTABLE in self.tags:
            raise Refused
        if self.deleted is None:
            self._log("", "repository.deleted", "delete")
        self.deleted = self.now
        self._add_tombstones(self.live, f"repository:{self.name}")

    def restore(self, digest: str) -> None:
        cause = f"manifest:{digest}"
        causes = {cause, self.tombstones[digest].cause if digest in self.tombstones else cause}
        came = len(self.tombstones) + len(self.tag_tombstones)
        if digest in self.tombstones:
            self._restore(digest, causes)
        self._restore_by_cause(cause, causes)
        if came == len(self.tombstones) + len(self.tag_tombstones):
            raise Refused

    def restore_tag(self, tag: str, force: bool) -> None:
        dead = self.tag_tombstones.get(tag)
        if dead is None or (tag in self.tags and self.tags[tag] != dead.what and not force):
            raise Refused
        if dead.what not in self.live:
            self.restore(dead.what)
        if self._is_immutable(tag, dead.what):
            raise Refused
        if tag in self.tag_tombstones:
            self._move(tag, dead.what, "restore")
            del self.tag_tombstones[tag]

    def restore_all(self) -> None:
        if not self.exists:
            raise Refused
        cause = f"repository:{self.name}"
        before = set(self.live), dict(self.tags), self.deleted
        self._restore_by_cause(cause, {cause})
        if self.live:
            self.deleted = None
        if before == (set(self.live), self.tags, self.deleted):
            raise Refused

    def roll_back(self, tag: str, steps: int) -> None:
        rows = self.histories.get(tag, [])
        target = rows[-1 - steps].digest if len(rows) > steps else ""
        if tag not in self.tags or target not in self.live or self._is_immutable(tag, target):
            raise Refused
        self._move(tag, target, "rollback")

    def as_of(self, tag: str, moment: datetime) -> str:
        rows = [row for row in self.histories.get(tag, []) if row.moved <= moment]
        if not rows or rows[-1].digest not in self.live:
            raise Refused
        return rows[-1].digest

    def may_be_deleted(self, digest: str, going: set[str], tag: str) -> bool:
        """Whether a clean-up may delete this among `going`, whose policy means one tag, or what has none ("")."""
        own = {each for each in self._tags_of(digest) if not is_referrer_tag(each)}
        if own or not tag:
            return own == {tag} - {""} and not (tag and self._is_late_tag(tag))
        gone = going | self.tombstones.keys()
        attached = any(
            each in self._tags_of(digest) and self._attaches(each) for one in gone for each in referrer_tags_of(one)
        )
        belongs = any(self._belongs(digest, one) for one in gone - {digest})
        return self.images[digest].subject in gone or attached or belongs

    def _belongs(self, child: str, index: str) -> bool:
        """Whether a child was pushed for an index: with no tag, and no longer than a day before it."""
        is_recent = self.created[index] - self.created[child] <= timedelta(days=1)
        return child in self.images[index].children and not self.attachments[child].startswith("tag") and is_recent

    def is_deleted_alone(self, tag: str) -> bool:
        """Whether what a tag names stays where a policy means this tag: it has another, or was not pushed for it."""
        return tag in self.tags and (
            self._is_late_tag(tag)
            or any(each != tag and not is_referrer_tag(each) for each in self._tags_of(self.tags[tag]))
        )

    def _is_late_tag(self, tag: str) -> bool:
        """Whether a tag came to name what it names more than a day after that was created."""
        return self.histories[tag][-1].moved - self.created[self.tags[tag]] > timedelta(days=1)

    def clean_up(self, going: set[str], causes: dict[str, str], tags: Iterable[str] = ()) -> None:
        """Clean-up deleted these, each restored with its cause, and before them tags alone."""
        for tag in tags:
            self._remove_tag(tag, f"tag:{tag}", "clean-up")
        for digest in sorted(going):
            self._add_tombstones({digest}, causes[digest], "clean-up")
        for digest in going:
            self._remove_dangling_tags({digest}, causes[digest], "clean-up")

    def purge(self, window: timedelta) -> None:
        """What a collection forgets: all whose time is over; a child with the index that needs it, or after it."""
        self.collectable = self.visible - self._referenced()
        over = {digest for digest, dead in self.tombstones.items() if dead.deleted + window <= self.now}
        while going := {digest for digest in over & self.tombstones.keys() if not self._is_needed(digest)}:
            for digest in going:
                self._log(digest, "image.purged", "purge")
                del self.tombstones[digest]
        self.tag_tombstones = {
            tag: dead for tag, dead in self.tag_tombstones.items() if dead.deleted + window > self.now
        }

    def _is_needed(self, digest: str) -> bool:
        return any(digest in self.images[other].children for other in self.tombstones)

    def erase(self) -> None:
        """The repository is gone, as if it had never been."""
        self.exists, self.deleted = False, None
        self.histories.clear()

    @property
    def may_be_gone(self) -> bool:
        return self.deleted is not None and not self.live and not self.tombstones and not self.tag_tombstones

    def add_blob(self, blob: str) -> None:
        """A blob was pushed or mounted."""
        self.visible.add(blob)
        self.collectable.discard(blob)

    def delete_blob(self, blob: str) -> None:
        if blob in self._referenced() or (blob not in self.visible and blob not in self.collectable):
            raise Refused
        self.visible.discard(blob)
        self.collectable.discard(blob)

    def _referenced(self) -> set[str]:
        return {blob for digest in self.live for blob in self.images[digest].blobs}

    def _is_immutable(self, tag: str, digest: str) -> bool:
        return tag == IMMUTABLE and self.tags.get(tag, digest) != digest

    def _indexes(self, digest: str) -> bool:
        return any(digest in self.images[other].children for other in self.live)

    def _tags_of(self, digest: str) -> set[str]:
        return {tag for tag, named in self.tags.items() if named == digest}

    def _is_superseded(self, digest: str) -> bool:
        """Whether an index once had the tag of a push, and nothing leads to it now, nor is it signed."""
        tags = self._tags_of(digest) | self.tags.keys() & {*referrer_tags_of(digest)}
        led_to = tags or self._indexes(digest) or self.images[digest].subject
        return not led_to and self.attachments[digest] not in ("none", "tag-and-digest")

    def _with_dependents(self, *roots: str) -> set[str]:
        """What goes with manifests: what refers to them, has no tag of its own and is in no index; and so on."""
        going, waiting = {*roots}, [*roots]
        while waiting:
            subject = waiting.pop()
            attached = {self.tags[tag] for tag in referrer_tags_of(subject) if tag in self.tags and self._attaches(tag)}
            attached |= {digest for digest in self.live if self.images[digest].subject == subject}
            for digest in attached - going:
                if not self._tags_of(digest) - set(referrer_tags_of(subject)) and not self._indexes(digest):
                    going.add(digest)
                    waiting.append(digest)
        return going

    def _attaches(self, tag: str) -> bool:
        digest = self.tags[tag]
        return attaches(tag, self.images[digest].subject, self.attachments[digest])

    def _remove_dangling_tags(self, gone: set[str], cause: str, action: str = "delete") -> None:
        """Of what a tag only seemed to attach to what is gone, the tag goes alone."""
        for tag in sorted(tag for digest in gone for tag in referrer_tags_of(digest) if tag in self.tags):
            self._remove_tag(tag, cause, action)

    def _add_tombstones(self, going: set[str], cause: str, action: str = "delete") -> None:
        for digest in sorted(going):
            for tag in self._tags_of(digest):
                self._remove_tag(tag, cause, action)
            self._log(digest, "image.deleted", action)
            self.tombstones[digest] = Tombstone(digest, self.now, cause)
        named = self._referenced()
        self.live = self.live - going
        self.visible -= named - self._referenced()
        self.collectable -= named - self._referenced()

    def _remove_tag(self, tag: str, cause: str, action: str = "delete") -> None:
        self.tag_tombstones[tag] = Tombstone(self.tags[tag], self.now, cause)
        self._add_event(tag, "", action)
        del self.tags[tag]

    def _move(self, tag: str, digest: str, action: str) -> None:
        if self.tags.get(tag) != digest:
            self._add_event(tag, digest, action)
            self.tags[tag] = digest

    def _add_event(self, tag: str, digest: str, action: str) -> None:
        self.histories.setdefault(tag, []).append(TagEvent(action, self.tags.get(tag, ""), digest, self.now))
        self._log(tag, "tag.moved" if digest else "tag.deleted", action)

    def _log(self, reference: str, event: str, action: str) -> None:
        self.events.setdefault(reference, []).append((event, action))

    def _revive(self, digest: str, event: str, action: str) -> None:
        if digest not in self.live:
            self._log(digest, event, action)
        self.exists, self.deleted = True, None
        self.live.add(digest)
        for blob in self.images[digest].blobs:
            self.add_blob(blob)
        self.tombstones.pop(digest, None)

    def _restore_by_cause(self, cause: str, causes: set[str]) -> None:
        """Restore all that has a cause."""
        while mine := sorted(digest for digest, dead in self.tombstones.items() if dead.cause == cause):
            self._restore(mine[0], causes)
        for tag, dead in sorted(self.tag_tombstones.items()):
            if dead.cause == cause and dead.what in self.live and tag not in self.tags:
                self._move(tag, dead.what, "restore")
                del self.tag_tombstones[tag]

    def _restore(self, digest: str, causes: set[str]) -> None:
        for child in self.images[digest].children:
            if child in self.tombstones:
                self._restore(child, causes)
        self._revive(digest, "image.restored", "restore")
        for tag, dead in sorted(self.tag_tombstones.items()):
            if dead.what == digest and dead.cause in causes and tag not in self.tags:
                self._move(tag, digest, "restore")
                del self.tag_tombstones[tag]
        followers = [each for each, dead in self.tombstones.items() if self.images[each].subject == digest]
        followers = [each for each in followers if self.tombstones[each].cause in causes]
        for tag in referrer_tags_of(digest):
            attached = self.tag_tombstones.get(tag)
            if attached and attached.cause in causes and attached.what in self.tombstones:
                followers += [attached.what] if self.tombstones[attached.what].cause in causes else []
        for follower in followers:
            if follower in self.tombstones:
                self._restore(follower, causes)
