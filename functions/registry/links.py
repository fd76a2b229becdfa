"""What a commit writes about links: whoever makes one, names one or lets one go says so in its state.

    (none) ──push, mount──▶ loose ◀──push, mount──┐
                            │   ▲                 │
            a manifest that │   │ the last        │ nobody names it
            names it is put │   │ may have gone   │ (collection)
                            ▼   │                 │
                           named                condemned ──▶ (none)

Whatever is not sure is loose: collection looks at those, and at nothing else. So a link may be loose though a manifest
names it, and is never named where none does.
"""

from dataclasses import replace
from datetime import datetime

from storage.protocols import Create, Replace, Touch, Write
from storage.records import LOOSE, Blob, Link


def made(link: Link | None, blob: Blob, repository: str, now: datetime) -> tuple[Link, list[Write]]:
    """The link of a blob that is pushed or mounted, beside `link`, which is there, and the writes that make both.

    What no manifest names yet begins its grace anew. A new link repeats its blob's object, so the blob is written at
    the version that was read: collected and pushed again meanwhile, it would have another one.
    """
    new_blob: list[Write] = [] if blob.version else [Create(blob)]
    if link is None:
        new = Link(
            id=blob.id, repository=repository, object=blob.object, size=blob.size, created=now, state=LOOSE, since=now
        )
        return new, [Create(new), *(new_blob or [Replace(replace(blob, state=""))])]
    if not link.state:
        return link, [Touch(link.key), *new_blob]
    fresh = replace(link, state=LOOSE, since=now)
    return fresh, [Replace(fresh), *new_blob]


def named(link: Link, now: datetime) -> Write:
    """The write of a manifest that names `link`."""
    return Replace(replace(link, state="", since=now)) if link.state else Touch(link.key)


def loosened(link: Link, now: datetime) -> Write:
    """The write of whoever removes what named `link`: others may name it, and collection will see."""
    return Replace(replace(link, state=LOOSE, since=now))


def suspected(blob: Blob) -> Write:
    """The write of whoever removes a link of `blob`: perhaps the last."""
    return Replace(replace(blob, state=LOOSE))
