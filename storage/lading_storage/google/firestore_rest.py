"""Small Firestore commits over REST: those that a pull makes.

https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents/commit

A pull records the time of the manifest's last pull. Importing Google's client library with gRPC for that would double
the work of a cold start. All other commits use the client library: a JSON body is larger than the equivalent protobuf
message, and it is not documented whether the limit of 10 MiB per commit applies before or after the conversion.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lading_storage.errors import Conflict, Unavailable
from lading_storage.firestore_documents import fields_of, new_nonce, path_of
from lading_storage.google.firestore_reads import FirestoreReads
from lading_storage.protocols import Create, Delete, Replace, Touch, Verify, Write, key_of
from lading_storage.records.core import Manifest
from lading_storage.records.jobs import LastPull

CONFLICTS: Final = frozenset({"ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND"})
"""Values of an error's `status` for a precondition that does not hold, and for an aborted contended commit."""


def is_rest_commit(writes: Sequence[Write]) -> bool:
    """Return whether a commit goes over REST: all its writes are last pulls, or touches of manifests."""
    return all(
        isinstance(write.record, LastPull) if isinstance(write, Create | Replace) else _touches_manifest(write)
        for write in writes
    )


def _touches_manifest(write: Touch | Delete | Verify) -> bool:
    return isinstance(write, Touch) and write.key.kind is Manifest


class FirestoreCommits:
    """Client for small commits to one database. Thread-safe."""

    def __init__(self, reads: FirestoreReads) -> None:
        """Use the connections and credentials of `reads`."""
        self._reads = reads

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit. Accepts only writes for which `is_rest_commit` is true.

        A commit without a response is retried (firestore_reads.RETRY), and the retry may conflict with the first
        attempt; the nonce in the documents shows that.
        """
        nonce = new_nonce()
        body = json.dumps({"writes": [self._write(each, nonce) for each in writes]})
        response = self._reads.post("commit", body)
        if response.status == 200:
            return
        message = f"Firestore: {response.status} {response.data[:200]!r}"
        if _status(response.data) not in CONFLICTS:
            raise Unavailable(message)
        documents = self._reads.get([path_of(key_of(each)) for each in writes]).found
        if not any(document.fields["nonce"] == nonce for document in documents.values()):
            raise Conflict(message)

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
                precondition = {"updateTime": version} if version else {"exists": True}
                return {"update": document, "updateMask": {"fieldPaths": ["nonce"]}, "currentDocument": precondition}
        raise AssertionError(f"unsupported write in a REST commit: {write}")


def _status(data: bytes) -> str:
    """Return the `status` of an error response (https://cloud.google.com/apis/design/errors), or ""."""
    try:
        error = json.loads(data)
        status = (error[0] if isinstance(error, list) else error)["error"]["status"]
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    return str(status)


def _encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields in REST format (https://cloud.google.com/firestore/docs/reference/rest/v1/Value)."""
    return {name: _value(value) for name, value in fields.items()}


def _value(value: str | datetime) -> dict[str, str]:
    if isinstance(value, str):
        return {"stringValue": value}
    return {"timestampValue": value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
