"""Fixtures: a registry over HTTP in this process, commands on it, and commands on any other."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading import cli, logs
from lading_storage.stores import Stores
from tests.support.management_server import ManagementServer, encoded, serving_users

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]


@pytest.fixture
def remote(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementServer]:
    """The registry over HTTP, with admin's login in docker's configuration."""
    # The server in this process must not log into what a command prints.
    monkeypatch.setattr(logs, "start", lambda *_: None)
    with serving_users(stores, tmp_path / "remote") as server:
        for name, value in server.log_in("admin").items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def scanning_remote(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementServer]:
    """The registry over HTTP, which scans, with admin's login; commands on the stores scan as well."""
    monkeypatch.setattr(logs, "start", lambda *_: None)
    # Where the stores are those of Google Cloud, an account scans.
    monkeypatch.setenv("LADING_SCANNER", "scanner@project.iam.gserviceaccount.com")
    with serving_users(stores, tmp_path / "remote", LADING_SCAN="on") as server:
        for name, value in server.log_in("admin").items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def run(remote: ManagementServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `lading LINE` over HTTP; returns what it prints, or its error where that is expected."""

    def run(line: str, status: int = 0) -> str:
        assert cli.main([*line.split(), "--registry", remote.url]) == status, capsys.readouterr().err
        done = capsys.readouterr()
        return done.err if status else done.out

    return run


@pytest.fixture
def both(remote: ManagementServer, capsys: pytest.CaptureFixture[str]) -> Both:
    """Run `lading LINE` on the stores, then over HTTP; returns status and outputs of each."""

    def both(line: str) -> tuple[str, str]:
        outputs = []
        for words in (line.split(), [*line.split(), "--registry", remote.url]):
            status = cli.main(words)
            done = capsys.readouterr()
            error = done.err.replace(f" --registry {remote.url}", "")
            outputs.append(f"{status}\n{done.out}\n{error}")
        return outputs[0], outputs[1]

    return both


@pytest.fixture
def lading(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `lading WORDS`; returns what it prints, or its error where that is expected. Neither has a password."""

    def lading(*words: str, status: int = 0) -> str:
        assert cli.main(words) == status
        done = capsys.readouterr()
        assert "-password" not in done.out + done.err.replace("--password-file", "")
        return done.err if status else done.out

    return lading


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that writes docker's login for the host of a URL."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(url: str) -> None:
        config = {"auths": {url.removeprefix("http://"): {"auth": encoded("admin", "hidden-password")}}}
        (tmp_path / "config.json").write_text(json.dumps(config))

    return write
