"""What a commit writes about links: whoever makes one, names one or lets one go says so in its state.

    (none) ──push, mount──▶ loose ◀──push, mount──┐
                            │   ▲                 │
            a manifest that │   │ the last        │ nobody names it
            names it is put │   │ may have gone   │ (collection)
                            ▼   │                 │
                           named                condemned ──▶ (none)
                            │   ▲
             the last live  │   │ undelete; for an hour
    manifest is deleted     ▼   │ a manifest that is put
                           hidden ──▶ forgotten ──▶ (none)

Whatever is not sure is loose: collection looks at those, and at nothing else. So a link may be loose though a manifest
names it, and is never named where no live one does. A hidden link is a record of another kind (DeletedLink): no client
sees it, and a push or mount makes a new one beside it.
"""

from dataclasses import replace
from datetime import datetime

from lading_storage.protocols import Create, Delete, Replace, Touch, Write
from lading_storage.records.core import HIDDEN, HIDDEN_UNVERIFIED, UNVERIFIED, Blob, Link, converted
from lading_storage.records.deleted import DeletedLink


def upsert(
    link: Link | None, blob: Blob, repository: str, now: datetime, *, repaired: bool = False
) -> tuple[Link, list[Write]]:
    """The link of a blob that is pushed or mounted, beside `link`, which is there, and the writes that make both.

    What no manifest names yet begins its grace anew. A new link repeats its blob's object, so the blob is written at
    the version that was read: collected and pushed again meanwhile, it would have another one. So it is where its
    bytes were put back (`repaired`), and where the link does not repeat what the blob says: that they are damaged,
    which a scrub may mark meanwhile, or another object, as of a mount that was killed before it corrected its link.
    """
    new_blob: list[Write] = [] if blob.version else [Create(blob)]
    is_wrong = link is not None and (link.damaged or (link.object, link.size) != (blob.object, blob.size))
    if blob.version and (repaired or is_wrong):
        new_blob = [Replace(replace(blob, state=""))]
    if link is None:
        new = _new(blob, repository, now)
        return new, [Create(new), *(new_blob or [Replace(replace(blob, state=""))])]
    if not link.state and not is_wrong:
        return link, [Touch(link.key), *new_blob]
    fresh = replace(link, object=blob.object, size=blob.size, damaged=False)
    if link.state:
        fresh = replace(fresh, state=UNVERIFIED, since=now)
    return fresh, [Replace(fresh), *new_blob]


def mount(link: Link | None, blob: Blob, repository: str, now: datetime) -> tuple[Link, list[Write]]:
    """Return the link of a blob that is mounted, beside `link`, which is there, and the writes that make it.

    Many mount the same layer at once, so the blob is left alone, which only one at a time could write. That is safe for
    whoever touches the link of the origin in the same commit, and looks at the blob again after it:

        A collection that drops the blob saw no link of it. Later ones come from a push, which writes the blob, or from
        a mount, whose origin came from a push: so the drop fails, or the origin is of a blob that was pushed anew.
        That one has another object than the blob that this mount has read: only then is the new link to be corrected.
    """
    if link is not None:
        return upsert(link, blob, repository, now)
    new = _new(blob, repository, now)
    return new, [Create(new)]


def repair(link: Link, blob: Blob) -> tuple[Link, list[Write]]:
    """Return a link that repeats what its blob says by now, and the writes that make it so at both versions."""
    new = replace(link, object=blob.object, size=blob.size, damaged=bool(blob.damaged))
    return new, [Replace(new), Replace(blob)]


def matches_blob(link: Link, blob: Blob | None) -> bool:
    """Return whether a link leads to the blob as it is, and its bytes are in order."""
    return blob is not None and blob.object == link.object and not blob.damaged


def _new(blob: Blob, repository: str, now: datetime) -> Link:
    return Link(
        id=blob.id, repository=repository, object=blob.object, size=blob.size, created=now, state=UNVERIFIED, since=now
    )


def reference(link: Link, now: datetime) -> Write:
    """The write of a manifest that names `link`."""
    return Replace(replace(link, state="", since=now)) if link.state else Touch(link.key)


def unverify(link: Link, now: datetime) -> Write:
    """The write of whoever removes what named `link`: others may name it, and collection will see."""
    return Replace(replace(link, state=UNVERIFIED, since=now))


def confirm(link: Link) -> Write:
    """Return the write of a commit that removes a manifest and has seen another live one that names `link`.

    It is at the version that was read: of two commits that each remove the manifest that the other one has seen, the
    second fails.
    """
    return Touch(link.key, link.version)


def hide(link: Link, earlier: DeletedLink | None, now: datetime) -> list[Write]:
    """Return the writes that make a link invisible that only deleted manifests name; `earlier` was hidden before."""
    version = earlier.version if earlier else ""
    new = converted(link, DeletedLink, state=HIDDEN, since=now, deleted=now, kept=None, version=version)
    return [Delete(link), Replace(new) if earlier else Create(new)]


def unhide(hidden: DeletedLink, blob: Blob, now: datetime, *, state: str = "") -> list[Write]:
    """Return the writes of a manifest that names a hidden link: it is visible again, as the link of its blob."""
    link = converted(hidden, Link, object=blob.object, size=blob.size, state=state, since=now, damaged=False)
    return [Create(link), Delete(hidden), Replace(replace(blob, state=""))]


def unverify_hidden(hidden: DeletedLink) -> Write:
    """Return the write of a commit that removes for good a deleted manifest that names `hidden`.

    It is a write even where the link is forgotten already: who looks at it meanwhile must look again.
    """
    return Replace(replace(hidden, state=HIDDEN_UNVERIFIED, since=hidden.hidden_at))


def unverify_blob(blob: Blob) -> Write:
    """The write of whoever removes a link of `blob`: perhaps the last."""
    return Replace(replace(blob, state=UNVERIFIED))
