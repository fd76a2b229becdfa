"""Small commits of Firestore over REST: those that a pull makes.

https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents/commit

A pull writes when its manifest was last pulled. To import Google's client for that, with gRPC, would double the work of
a cold start. All other commits are the client's: a body in JSON is larger than the message that it stands for, and
whether the 10 MiB that a commit may have are counted before or after that is not documented.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lading_storage.errors import Conflict, Unavailable
from lading_storage.google.firestore_documents import fields_of, new_nonce, path_of
from lading_storage.google.firestore_reads import FirestoreReads
from lading_storage.protocols import Create, Delete, Replace, Touch, Write, key_of
from lading_storage.records.core import Manifest
from lading_storage.records.jobs import LastPull

CONFLICTS: Final = frozenset({"ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND"})
"""What `status` an error has where a precondition did not hold, or a contended commit was given up."""


def is_rest_commit(writes: Sequence[Write]) -> bool:
    """Return whether a commit is one that is made over REST: of last pulls, and of manifests that it only touches."""
    return all(
        isinstance(write.record, LastPull) if isinstance(write, Create | Replace) else _touches_manifest(write)
        for write in writes
    )


def _touches_manifest(write: Touch | Delete) -> bool:
    return isinstance(write, Touch) and write.key.kind is Manifest


class FirestoreCommits:
    """Commits to one database. Any thread may use it."""

    def __init__(self, reads: FirestoreReads) -> None:
        """Send over the connections of `reads`."""
        self._reads = reads

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit, for writes that are small.

        A commit that got no answer is sent again (firestore_reads.AGAIN), and then conflicts with itself: the nonce in
        the documents tells.
        """
        nonce = new_nonce()
        body = json.dumps({"writes": [self._write(each, nonce) for each in writes]})
        answer = self._reads.post("commit", body)
        if answer.status == 200:
            return
        said = f"Firestore: {answer.status} {answer.data[:200]!r}"
        if _status(answer.data) not in CONFLICTS:
            raise Unavailable(said)
        found = self._reads.get([path_of(key_of(each)) for each in writes]).found
        if not any(document.fields["nonce"] == nonce for document in found.values()):
            raise Conflict(said)

    def _write(self, write: Write, nonce: str) -> Mapping[str, Any]:
        """Return a Write (https://cloud.google.com/firestore/docs/reference/rest/v1/Write)."""
        name = self._reads.root + path_of(key_of(write))
        match write:
            case Create(record):
                document = {"name": name, "fields": _encoded(fields_of(record, nonce))}
                return {"update": document, "currentDocument": {"exists": False}}
            case Replace(record):
                document = {"name": name, "fields": _encoded(fields_of(record, nonce))}
                return {"update": document, "currentDocument": {"updateTime": record.version}}
            case Touch(_, version):
                document = {"name": name, "fields": _encoded({"nonce": nonce})}
                still = {"updateTime": version} if version else {"exists": True}
                return {"update": document, "updateMask": {"fieldPaths": ["nonce"]}, "currentDocument": still}
        raise AssertionError(f"no small commit has a {write}")


def _status(data: bytes) -> str:
    """Return the `status` of an error (https://cloud.google.com/apis/design/errors), or "" where it has none."""
    try:
        error = json.loads(data)
        status = (error[0] if isinstance(error, list) else error)["error"]["status"]
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    return str(status)


def _encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pull's fields as REST has them (https://cloud.google.com/firestore/docs/reference/rest/v1/Value)."""
    return {name: _value(value) for name, value in fields.items()}


def _value(value: str | datetime) -> dict[str, str]:
    if isinstance(value, str):
        return {"stringValue": value}
    return {"timestampValue": value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
