"""Writes to a repository's own record that accompany a change in the repository.

    (none) ──put──▶ live ──delete──▶ deleted ──put, restore──▶ live
                     │ ▲
          `review`: when clean-up evaluates it next

Clean-up reads only repositories whose `review` is due. A change that can alter a decision sets `review` to now, unless
it is due already, so a push into a busy repository writes nothing here. A collection that takes a repository sets
`looked`, evaluates it, and evaluates it again an hour later. A change that reads `looked` writes, due or not. A change
that read the record before `looked` was set is committed within that hour, so the second evaluation covers it; only
then is `review` postponed.
"""

from dataclasses import replace
from datetime import datetime

from lading_storage.protocols import Create, Found, Replace, Write
from lading_storage.records.core import Key, Repository


def revive_writes(found: Found, repository: str, now: datetime) -> list[Write]:
    """Return the writes by which a put or restore makes a repository live, and due for clean-up.

    Args:
        found: with the repository's record.
        repository: its name.
        now: the time from which it is due.
    """
    record = found[Key(Repository, repository)]
    if record is None:
        return [Create(Repository(id=repository, created=now, review=now))]
    if record.deleted:
        return [Replace(replace(record, deleted=None, kept=None, review=now, looked=False))]
    return review_writes(found, repository, now)


def review_writes(found: Found, repository: str, now: datetime) -> list[Write]:
    """Return the writes that make a repository due for clean-up after a change of its manifests or tags.

    Args:
        found: with the repository's record.
        repository: its name.
        now: the time from which it is due.
    """
    record = found[Key(Repository, repository)]
    if record is None or record.deleted or is_review_due(record, now):
        return []
    return [Replace(replace(record, review=now, looked=False))]


def is_review_due(record: Repository, now: datetime) -> bool:
    """Return whether the next run of clean-up will evaluate a repository, with all that is committed until then."""
    return not record.looked and record.review is not None and record.review <= now
