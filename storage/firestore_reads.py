"""Reads documents of Firestore over REST, which costs less than Google's client, and starts in no time.

https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents/batchGet

A pull reads a document or two, and importing Google's client, with gRPC, would be half of the work of a cold start.
Measured on the emulator, a read costs 0.3 ms of CPU here, and 0.7 ms there. Queries and writes are the client's.
"""

import json
import os
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import certifi
import urllib3

from storage.errors import Unavailable

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

TIMEOUTS: Final = urllib3.Timeout(connect=5, read=30)
"""Seconds, the second without a byte."""

AGAIN: Final = urllib3.Retry(
    3, allowed_methods=None, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.1, raise_on_status=False
)
"""A read may be tried again, whatever went wrong."""

HOST: Final = "https://firestore.googleapis.com"
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class Document(NamedTuple):
    """A document: its fields, and its update_time as RFC 3339, without zeros at the end, as Google's client has it."""

    fields: dict[str, Any]
    version: str


class FirestoreReads:
    """Reads of one database. Any thread may use it; every method raises Unavailable."""

    def __init__(self, project: str, database: str) -> None:
        """Read with the credentials of the environment; honours FIRESTORE_EMULATOR_HOST."""
        emulator = os.environ.get("FIRESTORE_EMULATOR_HOST")
        host = f"http://{emulator}" if emulator else HOST
        self._root = f"projects/{project}/databases/{database}/documents/"
        self._url = f"{host}/v1/projects/{project}/databases/{database}/documents:batchGet"
        pool = urllib3.PoolManager(maxsize=128, retries=AGAIN, timeout=TIMEOUTS, ca_certs=certifi.where())
        self._pool = pool
        self._send = pool.request if emulator else _authorized(pool)

    def get(self, paths: Sequence[str], fields: Sequence[str] = ()) -> Mapping[str, Document]:
        """The documents that are there, by path, in one round trip; of their fields only `fields`, if there are any."""
        if not paths:
            return {}
        from google.auth.exceptions import GoogleAuthError

        mask = {"mask": {"fieldPaths": list(fields)}} if fields else {}
        body = json.dumps({"documents": [self._root + path for path in paths], **mask})
        try:
            answer = self._send("POST", self._url, body=body, headers={"Content-Type": "application/json"})
        except (urllib3.exceptions.HTTPError, GoogleAuthError) as error:
            raise Unavailable(f"Firestore: {error}") from error
        if answer.status != 200:
            raise Unavailable(f"Firestore: {answer.status} {answer.data[:200]!r}")
        found = [each["found"] for each in json.loads(answer.data) if "found" in each]
        return {each["name"].removeprefix(self._root): _document(each) for each in found}

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _authorized(pool: urllib3.PoolManager) -> Callable[..., Any]:
    """`pool.request`, with our credentials."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.urllib3 import AuthorizedHttp

    try:
        own: Credentials = google.auth.default(scopes=SCOPES)[0]
    except GoogleAuthError as error:
        raise Unavailable(f"Firestore: {error}") from error
    send: Callable[..., Any] = AuthorizedHttp(own, pool).urlopen  # type: ignore[no-untyped-call]
    return send


def _document(found: Mapping[str, Any]) -> Document:
    return Document({name: _value(each) for name, each in found.get("fields", {}).items()}, _short(found["updateTime"]))


def _short(time: str) -> str:
    """A time without zeros at the end of its fraction: JSON has three, six or nine digits."""
    whole, point, fraction = time.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{point if fraction else ''}{fraction}Z"


def _value(value: Mapping[str, Any]) -> Any:
    """A field's value (https://cloud.google.com/firestore/docs/reference/rest/v1/Value): those that a record has."""
    match next(iter(value.items())):
        case ("stringValue" | "booleanValue" | "nullValue", plain):
            return plain
        case ("integerValue", digits):
            return int(digits)
        case ("timestampValue", text):
            return datetime.fromisoformat(text)
        case ("bytesValue", encoded):
            return b64decode(encoded)
        case ("arrayValue", array):
            return [_value(each) for each in array.get("values", ())]
    raise AssertionError(f"no record has a value such as {value}")
