"""Writes that create, reference and release the links of blobs, and track each link's state.

    (none) ──push, mount──▶ unverified ◀──push, mount──┐
                            │   ▲                      │
         a manifest that    │   │ the last reference   │ no manifest references it
         references it is   │   │ may be removed       │ (collection marks it)
         put                ▼   │                      │
                         referenced                  marked ──sweep──▶ (none)
                            │   ▲
           the last live    │   │ restore; within an hour
    manifest is deleted     ▼   │ also a put of a manifest
                         hidden ──purge──▶ hidden-unverified ──▶ (none)

A link whose references are uncertain is unverified; collection verifies these links only. So an unverified link may be
referenced, but a link in the state "referenced" always is, by a live manifest. A hidden link is a record of another
kind (DeletedLink): clients do not see it, and a push or mount creates a new link beside it.
"""

from dataclasses import replace
from datetime import datetime

from lading_storage.protocols import Create, Delete, Replace, Touch, Write
from lading_storage.records.core import HIDDEN, HIDDEN_UNVERIFIED, UNVERIFIED, Blob, Link
from lading_storage.records.deleted import DeletedLink
from lading_storage.records.fields import converted


def upsert(
    link: Link | None, blob: Blob, repository: str, now: datetime, *, repaired: bool = False
) -> tuple[Link, list[Write]]:
    """Return the link of a pushed or mounted blob, and the writes that create or update both.

    The grace period of a link that no manifest references yet begins anew. A new link copies its blob's object, so the
    blob is written at the version that was read: after a collection and another push it would have another object. The
    blob is written as well if its bytes were repaired, or if the link does not match the blob: if it is damaged, which
    a scrub may mark meanwhile, or has another object, as after a mount that was killed before it repaired its link.

    Args:
        link: the existing link, or None.
        blob: the blob; without a version, it is new.
        repository: where the link is.
        now: the time of the change.
        repaired: whether the push replaced the bytes of the blob's object.
    """
    blob_writes: list[Write] = [] if blob.version else [Create(blob)]
    is_stale = link is not None and (link.damaged or (link.object, link.size) != (blob.object, blob.size))
    if blob.version and (repaired or is_stale):
        blob_writes = [Replace(replace(blob, state=""))]
    if link is None:
        new = _new(blob, repository, now)
        return new, [Create(new), *(blob_writes or [Replace(replace(blob, state=""))])]
    if not link.state and not is_stale:
        return link, [Touch(link.key), *blob_writes]
    updated = replace(link, object=blob.object, size=blob.size, damaged=False)
    if link.state:
        updated = replace(updated, state=UNVERIFIED, since=now)
    return updated, [Replace(updated), *blob_writes]


def mount(link: Link | None, blob: Blob, repository: str, now: datetime) -> tuple[Link, list[Write]]:
    """Return the link of a mounted blob, and the writes that create it; `link` is the existing one, or None.

    Many clients mount the same layer at once, so the blob is not written: that would allow one mount at a time. This is
    safe if the caller touches the source's link in the same commit, and reads the blob again afterwards:

        A collection that deletes the blob saw no link of it. Later links come from a push, which writes the blob, or
        from a mount whose source came from a push. So the deletion conflicts, or the source links a blob that was
        pushed anew, which has another object than the blob that this mount has read. Only then does the new link need
        a repair.
    """
    if link is not None:
        return upsert(link, blob, repository, now)
    new = _new(blob, repository, now)
    return new, [Create(new)]


def repair(link: Link, blob: Blob) -> tuple[Link, list[Write]]:
    """Return a link that matches the current blob, and the writes, at the versions of both."""
    new = replace(link, object=blob.object, size=blob.size, damaged=bool(blob.damaged))
    return new, [Replace(new), Replace(blob)]


def matches_blob(link: Link, blob: Blob | None) -> bool:
    """Return whether a link matches the current blob, and the blob is not damaged."""
    return blob is not None and blob.object == link.object and not blob.damaged


def _new(blob: Blob, repository: str, now: datetime) -> Link:
    return Link(
        id=blob.id, repository=repository, object=blob.object, size=blob.size, created=now, state=UNVERIFIED, since=now
    )


def reference(link: Link, now: datetime) -> Write:
    """Return the write of a manifest that references `link`."""
    return Replace(replace(link, state="", since=now)) if link.state else Touch(link.key)


def unverify(link: Link, now: datetime) -> Write:
    """Return the write of a commit that removes a reference to `link`: collection verifies whether others remain."""
    return Replace(replace(link, state=UNVERIFIED, since=now))


def confirm(link: Link) -> Write:
    """Return the write of a commit that removes a manifest, while another live manifest references `link`.

    It is conditional on the version that was read: of two commits that each remove the manifest on which the other
    relies, the second conflicts.
    """
    return Touch(link.key, link.version)


def hide(link: Link, earlier: DeletedLink | None, now: datetime) -> list[Write]:
    """Return the writes that hide a link that only deleted manifests reference.

    Args:
        link: the visible link.
        earlier: a link of the same blob that was hidden before, or None.
        now: the time from which it is hidden.
    """
    version = earlier.version if earlier else ""
    new = converted(link, DeletedLink, state=HIDDEN, since=now, deleted=now, kept=None, version=version)
    return [Delete(link), Replace(new) if earlier else Create(new)]


def unhide(hidden: DeletedLink, blob: Blob, now: datetime, *, state: str = "") -> list[Write]:
    """Return the writes that make a hidden link visible again, matching its blob, for a manifest that references it."""
    link = converted(hidden, Link, object=blob.object, size=blob.size, state=state, since=now, damaged=False)
    return [Create(link), Delete(hidden), Replace(replace(blob, state=""))]


def unverify_hidden(hidden: DeletedLink) -> Write:
    """Return the write of a commit that purges a deleted manifest that references `hidden`.

    It writes the link even if it is unverified already, so that a concurrent verification conflicts and starts again.
    """
    return Replace(replace(hidden, state=HIDDEN_UNVERIFIED, since=hidden.hidden_at))


def unverify_blob(blob: Blob) -> Write:
    """Return the write of a commit that removes a link of `blob`, perhaps its last one."""
    return Replace(replace(blob, state=UNVERIFIED))
