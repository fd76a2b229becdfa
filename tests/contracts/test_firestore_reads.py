"""Reads of Firestore over REST, where it does not answer as it should; what it answers else is in the contract."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from emulators.processes import free_port
from lading_storage.errors import Unavailable
from lading_storage.google import firestore_reads
from lading_storage.google.firestore_reads import FirestoreReads
from tests.support import fake_iam_world
from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler

ROOT = "projects/p/databases/d/documents/"
NAME, OTHER = f"{ROOT}tags/v1", f"{ROOT}tags/v2"
READ_AT = "2026-01-02T03:04:06.123456789Z"
FOUND = {
    "found": {"name": NAME, "fields": {"size": {"integerValue": "7"}}, "updateTime": "2026-01-02T03:04:05.000006Z"},
    "readTime": READ_AT,
}
MISSING = {"missing": OTHER, "readTime": "2026-01-02T03:04:07Z"}
ERROR = {"error": {"code": 503, "message": "too busy", "status": "UNAVAILABLE"}}
BOTH = ["tags/v1", "tags/v2"]
Reads = Callable[[list[tuple[int, Any]]], FirestoreReads]
"""Makes reads of a Firestore that gives these answers; one that is bytes is given as it is."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    """Makes reads of a Firestore that gives these answers, one after the other, and then hangs up."""
    planned: list[tuple[int, Any]] = []

    class Planned(SilentRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            assert json.loads(self.body()) in ({"documents": [NAME]}, {"documents": [NAME, OTHER]})
            if planned:
                status, value = planned.pop(0)
                self.respond(status, value if isinstance(value, bytes) else json.dumps(value).encode())
            self.close_connection = True

    def make(answers: list[tuple[int, Any]]) -> FirestoreReads:
        planned.extend(answers)
        return FirestoreReads("p", "d")

    with serve_handler(Planned) as port:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
        yield make


def test_a_document_is_found_or_missing(reads: Reads) -> None:
    of = reads([(200, [FOUND]), (200, [{"missing": NAME}])])

    found = of.get(["tags/v1"]).found["tags/v1"]
    assert (found.fields, found.version) == ({"size": 7}, "2026-01-02T03:04:05.000006Z")
    assert of.get(["tags/v1"]).found == {}
    assert of.get([]) == ({}, None)


def test_the_time_of_a_read_is_the_latest_that_firestore_tells(reads: Reads) -> None:
    # Which gives documents in any order.
    of = reads([(200, [MISSING, FOUND]), (200, [FOUND])])

    both, one = of.get(BOTH), of.get(["tags/v1"])

    assert both == (one.found, datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC))
    assert one.read_at == datetime(2026, 1, 2, 3, 4, 6, 123456, tzinfo=UTC)


PARTIAL = {
    "an error in the middle": [FOUND, ERROR],
    "an error alone": [ERROR],
    "an end too early": [FOUND],
    "nothing": [],
    "one document twice": [FOUND, FOUND, MISSING],
    "found and missing": [FOUND, {"missing": NAME}, MISSING],
    "another document": [FOUND, {"missing": f"{ROOT}tags/v3"}],
    "an object": {"found": FOUND},
    "cut JSON": json.dumps([FOUND, MISSING]).encode()[:-20],
    "no JSON": b"",
    "another form": [{"found": {}}, MISSING],
    "a list of other things": ["found", None],
}


@pytest.mark.parametrize("answer", PARTIAL.values(), ids=PARTIAL)
def test_a_partial_answer_never_means_missing(reads: Reads, answer: Any) -> None:
    of = reads([(200, answer), (200, [MISSING, FOUND]), *[(200, answer)] * 4])

    assert of.get(BOTH).found.keys() == {"tags/v1"}, "it is asked again"
    with pytest.raises(Unavailable):
        of.get(BOTH)


def test_an_answer_may_have_elements_that_tell_of_no_document(reads: Reads) -> None:
    assert reads([(200, [{"readTime": READ_AT}, FOUND, MISSING])]).get(BOTH).found.keys() == {"tags/v1"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(reads: Reads, status: int) -> None:
    assert reads([(status, {}), (status, {}), (200, [FOUND])]).get(["tags/v1"]).found


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_does_not_pass_is_not(reads: Reads, status: int) -> None:
    of = reads([(status, {"error": {"message": "no such database"}}), (200, [FOUND])])

    with pytest.raises(Unavailable, match="no such database"):
        of.get(["tags/v1"])
    assert of.get(["tags/v1"]).found


def test_a_server_that_does_not_respond_is_unavailable(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        reads([]).get(["tags/v1"])
    with pytest.raises(Unavailable):
        reads([(503, {})] * 9).get(["tags/v1"])
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable):
        FirestoreReads("p", "d").get(["tags/v1"])


class NewestTokenOnly(SilentRequestHandler):
    """A Firestore that takes only the newest of the tokens that it gives."""

    tokens = 0

    def do_POST(self) -> None:  # noqa: N802
        self.body()
        if self.path == "/token":
            NewestTokenOnly.tokens += 1
            answer = {"access_token": f"ya29.{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
            self.respond(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        elif self.headers["Authorization"] == f"Bearer ya29.{self.tokens}":
            self.respond(200, json.dumps([FOUND]).encode())
        else:
            self.respond(401, b"{}")


def test_reads_are_made_with_the_credentials_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve_handler(NewestTokenOnly) as port:
        (tmp_path / "key.json").write_text(
            fake_iam_world.service_account_key(token_uri=f"http://127.0.0.1:{port}/token")
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
        monkeypatch.setattr(firestore_reads, "HOST", f"http://127.0.0.1:{port}")
        reads = FirestoreReads("p", "d")

        assert reads.get(["tags/v1"]).found
        assert NewestTokenOnly.tokens == 1
        NewestTokenOnly.tokens += 1
        assert reads.get(["tags/v1"]).found, "a token that is no longer taken is renewed"
        assert NewestTokenOnly.tokens == 3


def test_without_credentials_nothing_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    with pytest.raises(Unavailable, match="was not found"):
        FirestoreReads("p", "d")
