"""`lading scan-missing`: images that were pushed while nothing was scanned, on the stores and over HTTP alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from lading import cli, logs
from lading.registry.registry import Registry
from lading_storage.records.core import Key
from lading_storage.records.scans import Facts
from lading_storage.stores import Stores
from tests.commands.tables import json_rows, table
from tests.support.management_server import ManagementServer, encoded, serving_users
from tests.support.registry_pushes import push_image

Run = Callable[..., str]


@pytest.fixture
def remote(scanning_remote: ManagementServer) -> ManagementServer:
    return scanning_remote


@pytest.fixture
def old_images(registry: Registry) -> list[tuple[str, str]]:
    """The repositories and digests of images that were never scanned."""
    tags = {"team/app": ("v1", "v2"), "team/web": ("v1",), "other": ("v1",)}
    return [(name, push_image(registry, name, tag).digest) for name, each in tags.items() for tag in each]


@pytest.fixture(params=["stores", "http"])
def place(request: pytest.FixtureRequest, remote: ManagementServer) -> list[str]:
    """The options with which a command works on the stores, or over HTTP."""
    return [] if request.param == "stores" else ["--registry", remote.url]


def due(registry: Registry, images: list[tuple[str, str]]) -> list[str]:
    """The repositories of those of some images that have facts."""
    keys = [Key(Facts, digest, name) for name, digest in images]
    found = registry.metadata.read(keys)
    return [key.repository for key in keys if found[key] is not None]


def test_all_images_that_were_never_scanned_are_requested_once(
    registry: Registry, old_images: list[tuple[str, str]], place: list[str], lading: Run
) -> None:
    printed = lading("scan-missing", *place).splitlines()

    assert printed[-1] == "4 images will be scanned"
    assert table("\n".join(printed[:-1])) == [
        {"REPOSITORY": "other", "REQUESTED": "1"},
        {"REPOSITORY": "team/app", "REQUESTED": "2"},
        {"REPOSITORY": "team/web", "REQUESTED": "1"},
    ]
    assert len(due(registry, old_images)) == 4
    assert lading("scan-missing", *place) == "0 images will be scanned\n"
    assert lading("scan-missing", *place, "--json") == ""


def test_globs_choose_repositories(
    registry: Registry, old_images: list[tuple[str, str]], place: list[str], lading: Run
) -> None:
    rows = json_rows(lading("scan-missing", "team/*", "absent", *place, "--json"))

    assert rows == [{"repository": "team/app", "requested": 2}, {"repository": "team/web", "requested": 1}]
    assert {*due(registry, old_images)} == {"team/app", "team/web"}


def test_each_request_is_audited(
    old_images: list[tuple[str, str]], place: list[str], lading: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        lading("scan-missing", "team/*", *place)

    lines = [each.getMessage() for each in caplog.records if "change=scan-requested" in each.getMessage()]
    assert [f"repository={name} " in line for name, line in zip(("team/app", "team/web"), lines, strict=True)] == [
        True
    ] * 2
    if place:
        assert all(digest in lines[0] for name, digest in old_images if name == "team/app")
    caplog.clear()
    lading("scan-missing", *place, "team/*")
    assert not [each for each in caplog.records if "change=scan-requested" in each.getMessage()]


def test_a_repository_that_the_caller_may_not_push_to_is_left_out(
    registry: Registry,
    old_images: list[tuple[str, str]],
    remote: ManagementServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    remote.log_in("reader")

    assert cli.main(["scan-missing", "team/*", "--registry", remote.url]) == 1

    printed = capsys.readouterr()
    assert printed.out == "0 images will be scanned\n"
    assert [line.partition(":")[0] for line in printed.err.splitlines()] == ["team/app", "team/web"]
    assert due(registry, old_images) == []


@pytest.fixture
def idle(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementServer]:
    """The registry over HTTP, which does not scan, with admin's login."""
    monkeypatch.setattr(logs, "start", lambda *_: None)
    with serving_users(stores, tmp_path / "remote", LADING_SCAN="off") as server:
        for name, value in server.log_in("admin").items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_registry_that_does_not_scan_takes_no_requests(
    idle: ManagementServer,
    registry: Registry,
    old_images: list[tuple[str, str]],
    lading: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "images are not scanned here" in lading("scan-missing", "--registry", idle.url, status=1)
    assert "images are not scanned here" in lading("scan-missing", "--scan", "off", status=1)
    again = ("scan", "other:v1", "--again")
    assert "images are not scanned here" in lading(*again, "--registry", idle.url, status=1)
    monkeypatch.setenv("LADING_SCAN", "off")
    assert "images are not scanned here" in lading(*again, status=1)
    assert due(registry, old_images) == []


@pytest.mark.parametrize("query", ["missing=yes", "missing=true&tag=v1", "missing=true&digest=sha256:0000"])
def test_parameters_that_contradict_one_another_are_refused(
    query: str, registry: Registry, old_images: list[tuple[str, str]], remote: ManagementServer
) -> None:
    login = {"Authorization": f"Basic {encoded('admin', 'admin-password')}"}
    request = Request(f"{remote.url}/v2/_lading/team/app/scan?{query}", b"", login)

    with pytest.raises(HTTPError) as raised:
        urlopen(request, timeout=10)

    assert (raised.value.code, "missing=true is for all images" in raised.value.read().decode()) == (400, True)
    assert due(registry, old_images) == []
