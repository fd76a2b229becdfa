"""The ledger itself: it finds what is lost, and what came back, and lets pass what was not acknowledged."""

from collections.abc import Iterator

import pytest

from lading_storage.digests import digest_of
from tests.faults.exact_client import RequestOutcome
from tests.faults.ledger import Ledger
from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler

DONE, UNKNOWN = RequestOutcome(201), RequestOutcome(0)
ONE, TWO = digest_of(b"one"), digest_of(b"two")
TAG, BLOB = "/v2/a/manifests/v1", "/v2/a/blobs/x"


@pytest.fixture
def port() -> Iterator[int]:
    """A server that has `one` as its tag, and nothing else."""

    class Handler(SilentRequestHandler):
        def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
            self.respond(*((200, b"one") if self.path == TAG else (404, b"")))

    with serve_handler(Handler) as port:
        yield port


LEDGERS: dict[str, tuple[list[tuple[str, str | None, RequestOutcome]], list[str]]] = {
    "as told": ([(TAG, ONE, DONE)], []),
    "not told, and done": ([(TAG, ONE, UNKNOWN)], []),
    "not told, and not done": ([(TAG, ONE, DONE), (TAG, TWO, UNKNOWN)], []),
    "not told, and there is nothing": ([(BLOB, TWO, UNKNOWN)], []),
    "lost": ([(BLOB, TWO, DONE)], [BLOB]),
    "other bytes": ([(TAG, TWO, DONE)], [TAG]),
    "back from the dead": ([(TAG, ONE, DONE), (TAG, None, DONE)], [TAG]),
    "neither the old nor the new": ([(TAG, TWO, DONE), (TAG, None, UNKNOWN)], [TAG]),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_what_is_found_is_held_against_what_was_told(name: str, port: int) -> None:
    told, lost = LEDGERS[name]
    ledger = Ledger()
    for each in told:
        ledger.record(*each)

    assert ledger.check(port) == 1

    assert [line.partition(": ")[0] for line in ledger.lost] == lost


def test_a_deleted_manifest_takes_its_tags_along(port: int) -> None:
    ledger = Ledger()
    ledger.record(TAG, ONE, DONE)
    ledger.record_manifest_deletion(ONE, DONE)

    ledger.check(port)

    assert len(ledger.lost) == 1
