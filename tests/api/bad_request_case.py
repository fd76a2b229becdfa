"""A bad request, a row of a table; and the registry that all of them are sent to.

app     v1 → IMAGE (CONFIG, LAYER), multi → INDEX (IMAGE), and a session with ten bytes
other   v1 → an image of CONFIG and HIDDEN, which `app` has not
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client

CONFIG = images.EMPTY_CONFIG
LAYER = b"a layer of twenty-six bytes"
HIDDEN = b"what only the other repository has"
ABSENT = digest_of(b"what nobody has")
IMAGE = images.manifest([LAYER])
INDEX = images.index([IMAGE])
HIDDEN_IMAGE = images.manifest([HIDDEN])

BLOB = digest_of(LAYER)
RECEIVED = b"0123456789"
SESSION = "SESSION"
"""Stands in a row's target for the id of the session that `app` has."""

JSON_TYPE = {"Content-Type": OCI_MANIFEST}


@dataclass(frozen=True)
class BadRequestCase:
    """A request that must be refused with `status` and the error `code`, and change nothing.

    headers  what differs from none
    length   the Content-Length, where it is not that of the body
    chunked  whether the body comes without a Content-Length
    """

    status: int
    code: str
    method: str
    target: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    chunked: bool = False
    note: str = ""

    def __str__(self) -> str:
        text = f"{self.method} {self.target} {self.note} {' '.join(self.headers.values())}"
        return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)[:120]


def fill_registry(client: Client) -> None:
    """Fill the registry with what the rows speak of, but for the session."""
    client.push_image("app", "v1", LAYER)
    client.push_manifest("app", "multi", INDEX)
    client.push_image("other", "v1", HIDDEN)


def open_session(client: Client) -> str:
    """Begin the session that the rows speak of; return the end of its Location."""
    answer = client.request("PATCH", client.start_upload("app"), RECEIVED)
    assert answer.status == 202
    return answer.headers["Location"].rpartition("/")[2]
