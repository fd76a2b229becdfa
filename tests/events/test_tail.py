"""`lading events tail`: the same of the stores and over HTTP, and nothing lost or doubled over restarts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from emulators.processes import free_port
from lading import cli
from lading.client.errors import ClientError
from lading.commands.event_rows import PublishedRow, row_of
from lading.commands.event_source import EventPage, Unreachable
from lading.commands.events_tail import MAX_DELAY, MIN_INTERVAL, WAIT, follow
from lading.commands.options import CommandError
from lading.composition import open_metadata
from lading.events.cloud_event import cloud_event
from lading.settings import load_settings
from lading_storage.stores import Stores
from tests.support.folder_stores import folder_stores
from tests.support.management_server import challenging, misbehaving, serving_users
from tests.support.published_events import publish, published_event
from tests.support.server_process import SOURCE_ROOTS, serving

RECENT = datetime.now(UTC) - timedelta(minutes=2)


def row(number: int) -> PublishedRow:
    return row_of(cloud_event(published_event(number, RECENT), ""))


def test_a_row_says_what_a_policy_decided_and_what_a_scan_found() -> None:
    def found(action: str, **details: object) -> PublishedRow:
        event = replace(published_event(1, RECENT), action=action, details=json.dumps(details))
        return row_of(cloud_event(event, ""))

    denied = {"policy": "prod", "reason": "it is not signed by release"}
    assert found("pull", **denied).detail == "prod: it is not signed by release"
    assert found("audit", **denied).detail == "prod (audit): it is not signed by release"
    assert found("pull", policy="prod").detail == "prod", "a reason may be hidden"
    assert found("scan", scan={"state": "done", "counts": {}}).detail == "done"
    assert row(1).detail == ""


class ScriptedSource:
    """Returns pages, and raises errors, in their order; records the waits."""

    def __init__(self, *replies: EventPage | Exception) -> None:
        self.replies = list(replies)
        self.waits: list[int] = []

    def read(self, wait: int) -> EventPage:
        self.waits.append(wait)
        if not self.replies:
            raise KeyboardInterrupt
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


class Done(NamedTuple):
    """What a command returned and printed."""

    status: int
    output: str
    errors: str


Run = Callable[[Sequence[str], Mapping[str, str]], Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lading` in this process, with the variables of an environment."""

    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Done:
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in environment.items():
                patch.setenv(name, value)
            return Done(cli.main(arguments), *capsys.readouterr())

    return run


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> Sequence[float]:
    """The seconds for which the command would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("lading.commands.events_tail.time.sleep", slept.append)
    return slept


def collect(source: ScriptedSource, once: bool = False) -> list[PublishedRow]:
    rows = []
    try:
        for each in follow(source, once):
            rows.append(each)
    except KeyboardInterrupt:
        pass
    return rows


def test_it_reconnects_with_delays_that_grow(delays: Sequence[float], capsys: pytest.CaptureFixture[str]) -> None:
    down = [Unreachable("down")] * 8
    source = ScriptedSource(EventPage([row(1)], False), *down, EventPage([row(2)], False), Unreachable("busy"))

    assert collect(source) == [row(1), row(2)]
    assert delays == [1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY, MAX_DELAY, 1]
    assert capsys.readouterr().err.splitlines()[0] == "lading: down; the next attempt is in 1 s"


def test_once_ends_where_there_is_no_more(delays: Sequence[float]) -> None:
    pages = [EventPage([row(1)], True), EventPage([], True), EventPage([row(2)], False), EventPage([], False)]
    source = ScriptedSource(*pages)

    assert collect(source, once=True) == [row(1), row(2)]
    assert source.waits == [0, 0, WAIT, 0]
    with pytest.raises(CommandError):
        collect(ScriptedSource(Unreachable("down")), once=True)
    assert delays == []


def test_a_server_that_returns_nothing_at_once_is_not_called_in_a_loop(delays: Sequence[float]) -> None:
    nothing = [EventPage([], False)] * 3
    assert collect(ScriptedSource(*nothing, EventPage([row(1)], False), EventPage([row(2)], True))) == [row(1), row(2)]
    assert delays == [MIN_INTERVAL] * 3


@contextmanager
def tailing(folder: Path, environment: Mapping[str, str], *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `lading events tail --json` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lading.cli", "events", "tail", "--json", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": SOURCE_ROOTS, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_tags(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """Return the tags of the next events that the command prints."""
    assert process.stdout
    return [json.loads(process.stdout.readline())["tag"] for _ in range(count)]


def test_the_same_is_printed_of_the_stores_and_over_http(
    stores: Stores, environment: Mapping[str, str], tmp_path: Path, run: Run
) -> None:
    recent = datetime.now(UTC) - timedelta(minutes=5)
    events = [published_event(number, recent + timedelta(seconds=number)) for number in range(3)]
    web = published_event(7, recent - timedelta(seconds=1), "team/web", "image.pushed", by="bob\x1b[31m")
    publish(stores.metadata, *events, web)

    def printed(*words: str, variables: Mapping[str, str] = environment) -> str:
        done = run(["events", "tail", "--once", *words], variables)
        assert (done.status, done.errors) == (0, "")
        return done.output

    with serving_users(stores, tmp_path / "server") as server:
        for words in ([], ["--json"], ["--wide"], ["--repository", "team/w*"], ["--type", "tag.*", "--since", "10m"]):
            stored = printed(*words)
            over_http = printed("--registry", server.url, *words, variables=server.log_in("admin"))
            assert stored == over_http
        reader = printed("--registry", server.url, "--json", variables=server.log_in("reader"))
        refused = run(["events", "tail", "--registry", server.url], server.log_in("admin", "wrong"))

    lines = printed().splitlines()
    assert [line.split()[1:3] for line in lines] == [
        ["TYPE", "REFERENCE"],
        ["image.pushed", "team/web:v7"],
        *(["tag.moved", f"team/app:v{number}"] for number in range(3)),
    ]
    assert len({line.index("sha256:") for line in lines[1:]}) == 1, "the columns are aligned"
    assert "\x1b" not in printed()
    assert len(reader.splitlines()) == 4
    assert {json.loads(line)["by"] for line in reader.splitlines()} == {""}
    assert (refused.status, refused.output) == (1, "")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_nothing_is_lost_or_doubled_over_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: signal.Signals
) -> None:
    port = free_port()
    monkeypatch.setattr("tests.support.server_process.free_port", lambda: port)
    environment = {"LADING_DATA": str(tmp_path / "data")}
    with (
        serving(environment, tmp_path / "first.log") as server,
        closing(open_metadata(load_settings(environment).metadata)) as metadata,
        tailing(tmp_path, {}, "--registry", f"http://127.0.0.1:{port}", "--since", "1m") as tail,
    ):
        publish(metadata, *(published_event(number, datetime.now(UTC)) for number in range(3)))
        assert next_tags(tail, 3) == ["v0", "v1", "v2"]
        server.process.send_signal(sign)
        server.process.wait()
        publish(metadata, *(published_event(number, datetime.now(UTC)) for number in range(3, 6)))
        assert tail.stderr
        assert "the next attempt is in 1 s" in tail.stderr.readline()
        with serving(environment, tmp_path / "second.log"):
            assert next_tags(tail, 3) == ["v3", "v4", "v5"]
            publish(metadata, published_event(6, datetime.now(UTC)))
            assert next_tags(tail, 1) == ["v6"]
            tail.send_signal(signal.SIGINT)
            output, errors = tail.communicate()
            assert (tail.returncode, output, "Traceback" in errors) == (130, "", False)


def test_the_stores_are_followed_without_a_server(
    stores: Stores, environment: Mapping[str, str], tmp_path: Path
) -> None:
    with tailing(tmp_path, environment, "--since", "1m", "--repository", "team/app") as tail:
        for number in range(3):
            publish(stores.metadata, published_event(number, datetime.now(UTC)))
            publish(stores.metadata, published_event(number, datetime.now(UTC), "other/app"))
            assert next_tags(tail, 1) == [f"v{number}"]
        tail.send_signal(signal.SIGINT)
        output, errors = tail.communicate()
        assert (tail.returncode, output, errors) == (130, "", "")


@pytest.mark.parametrize(
    "reply",
    [
        b"[]",
        b"{}",
        b'{"events": [], "next": 1}',
        b'{"events": [{}], "next": "x"}',
        b'{"events": [{"data": [], "type": 1}], "next": "x"}',
        b'{"events": 1, "next": "x"}',
    ],
)
def test_a_response_of_another_program_is_an_error(tmp_path: Path, run: Run, reply: bytes) -> None:
    with misbehaving(challenging(reply)) as (url, _):
        done = run(["events", "tail", "--once", "--registry", url], {"DOCKER_CONFIG": str(tmp_path)})
    assert (done.status, done.output) == (1, "")
    assert "cannot be used" in done.errors
    assert ClientError.__name__ not in done.errors


def test_events_that_are_gone_are_an_error(tmp_path: Path, run: Run) -> None:
    folder_stores(tmp_path / "data").close()
    done = run(["events", "tail", "--since", "2h"], {"LADING_DATA": str(tmp_path / "data")})
    assert (done.status, "lading events replay" in done.errors) == (1, True)
