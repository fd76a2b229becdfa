"""What a change in a repository writes to the repository's own record.

    (none) ──put──▶ live ──delete──▶ deleted ──put, restore──▶ live
                     │ ▲
          `review`: when clean-up looks at it next

Clean-up reads only repositories whose `review` is due. Whatever can change a verdict sets it to now, unless it is due
already: so a push into a busy repository writes nothing here. A collection that has taken a repository marks it as
`looked`, looks, and looks again an hour later; what sees the mark writes, due or not. A change that had read the record
before the mark is committed within that hour and seen by the second look, and only then is `review` put off.
"""

from dataclasses import replace
from datetime import datetime

from lading_storage.protocols import Create, Found, Replace, Write
from lading_storage.records.core import Key, Repository


def revive_writes(found: Found, repository: str, now: datetime) -> list[Write]:
    """Return the writes of whatever puts a manifest into a repository: it is there, live, and clean-up looks at it."""
    record = found[Key(Repository, repository)]
    if record is None:
        return [Create(Repository(id=repository, created=now, review=now))]
    if record.deleted:
        return [Replace(replace(record, deleted=None, kept=None, review=now, looked=False))]
    return review_writes(found, repository, now)


def review_writes(found: Found, repository: str, now: datetime) -> list[Write]:
    """Return the writes of whatever changes the manifests or tags of a repository, whose record is in `found`."""
    record = found[Key(Repository, repository)]
    if record is None or record.deleted or is_review_due(record, now):
        return []
    return [Replace(replace(record, review=now, looked=False))]


def is_review_due(record: Repository, now: datetime) -> bool:
    """Return whether clean-up will look at a repository at its next run, at whatever is committed until then."""
    return not record.looked and record.review is not None and record.review <= now
