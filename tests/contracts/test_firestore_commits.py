"""Small commits of Firestore over REST, where it does not answer as it should; the rest is in the contract."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lading_storage.errors import Conflict, Unavailable
from lading_storage.google.firestore_reads import FirestoreReads
from lading_storage.google.firestore_rest import FirestoreCommits, is_rest_commit
from lading_storage.protocols import Create, Delete, Replace, Touch, Write
from lading_storage.records.core import Key, Manifest, Repository
from lading_storage.records.jobs import LastPull
from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler

DIGEST = "sha256:" + "ab" * 32
NAME = f"projects/p/databases/d/documents/repositories/team:app/pulls/{DIGEST}"
PULL = LastPull(id=DIGEST, repository="team/app", pulled=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
DONE = (200, {"writeResults": [{}], "commitTime": "2026-01-02T03:04:05.000006Z"})


def refused(code: int, status: str) -> tuple[int, Any]:
    return code, {"error": {"code": code, "message": "no", "status": status}}


class Firestore:
    """A Firestore that gives these answers to commits, one after the other, and to reads what a commit left."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.sent: list[Any] = []
        self.keeps = False

    def answer(self, method: str, asked: Any) -> tuple[int, Any]:
        if method == "commit":
            self.sent.append(asked)
            return self.answers.pop(0)
        found = {"name": NAME, "fields": self.sent[0]["writes"][0]["update"]["fields"], "updateTime": PULL.pulled}
        time = "2026-01-02T03:04:06Z"
        return 200, [
            {"found": found | {"updateTime": time}, "readTime": time}
            if self.keeps and name == NAME
            else {"missing": name, "readTime": time}
            for name in asked["documents"]
        ]


@pytest.fixture
def firestore(monkeypatch: pytest.MonkeyPatch) -> Iterator[Firestore]:
    planned = Firestore()

    class Handler(SilentRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            status, value = planned.answer(self.path.rpartition(":")[2], json.loads(self.body()))
            self.respond(status, json.dumps(value).encode())

    with serve_handler(Handler) as port:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
        yield planned


Commit = Callable[[], None]


@pytest.fixture
def commit(firestore: Firestore) -> Iterator[Commit]:
    reads = FirestoreReads("p", "d")
    yield lambda: FirestoreCommits(reads).commit([Create(PULL), Touch(Key(Manifest, DIGEST, "team/app"))])
    reads.close()


def test_a_commit_as_rest_has_it(firestore: Firestore, commit: Commit) -> None:
    firestore.answers = [DONE]
    commit()
    create, touch = firestore.sent[0]["writes"]
    assert create["currentDocument"] == {"exists": False}
    assert create["update"]["name"] == NAME
    assert create["update"]["fields"]["pulled"] == {"timestampValue": "2026-01-02T03:04:05.000006Z"}
    assert (touch["currentDocument"], touch["updateMask"]) == ({"exists": True}, {"fieldPaths": ["nonce"]})
    assert touch["update"]["fields"].keys() == {"nonce"}


@pytest.mark.parametrize(
    ("code", "status"),
    [(409, "ABORTED"), (409, "ALREADY_EXISTS"), (400, "FAILED_PRECONDITION"), (404, "NOT_FOUND")],
)
def test_a_precondition_that_does_not_hold(firestore: Firestore, commit: Commit, code: int, status: str) -> None:
    firestore.answers = [refused(code, status)]
    with pytest.raises(Conflict):
        commit()
    firestore.answers = [refused(code, status)]
    firestore.keeps = True
    firestore.sent.clear()
    commit()  # what it conflicts with is an earlier try of its own


@pytest.mark.parametrize("answer", [(500, {}), (503, {}), (429, {}), (504, {})])
def test_what_may_pass_is_tried_again(firestore: Firestore, commit: Commit, answer: tuple[int, Any]) -> None:
    firestore.answers = [answer, answer, DONE]
    commit()
    assert len({json.dumps(each) for each in firestore.sent}) == 1, "with the same nonce"


@pytest.mark.parametrize("answer", [refused(403, "PERMISSION_DENIED"), (400, ["no object"]), (404, "no object")])
def test_any_other_refusal_is_unavailable(firestore: Firestore, commit: Commit, answer: tuple[int, Any]) -> None:
    firestore.answers = [answer]
    with pytest.raises(Unavailable):
        commit()


@pytest.mark.parametrize(
    ("writes", "small"),
    [
        ([Create(PULL), Replace(PULL), Touch(Key(Manifest, DIGEST, "a"))], True),
        ([Delete(PULL)], False),
        ([Create(PULL), Touch(Key(Repository, "a"))], False),
        ([Create(PULL), Create(Repository(id="a", created=PULL.pulled))], False),
    ],
)
def test_which_commits_are_small(writes: list[Write], small: bool) -> None:
    assert is_rest_commit(writes) is small
