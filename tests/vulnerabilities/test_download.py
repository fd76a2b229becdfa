"""Downloads and imports: by ETag, within limits; a source that fails changes nothing."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lading.addresses import AddressRefused
from lading.vulnerabilities import download
from lading.vulnerabilities.database import Database
from lading.vulnerabilities.download import Update, check_source, source_client, update
from lading.vulnerabilities.exploits import Exploits
from lading.vulnerabilities.import_folder import import_folder
from tests.support.osv_dumps import vulnerable, write_dump

Reply = tuple[int, Mapping[str, str], bytes]


@dataclass
class Source:
    """Server with dumps.

    url        of the folder of all ecosystems
    requests   path and If-None-Match, in order
    replies    the responses by path, each used once but for the last
    """

    url: str
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    def update(self, folder: Path, **etags: str) -> list[Update]:
        named = {name.replace("_", " "): etag for name, etag in etags.items()}
        return list(update(f"{self.url}/", named, folder, source_client(5.0), self.waited.append))


@pytest.fixture
def source() -> Iterator[Source]:
    opened = Source("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            opened.requests.append((self.path, self.headers["If-None-Match"]))
            replies = opened.replies.get(self.path, [(404, {}, b"")])
            status, headers, body = replies.pop(0) if len(replies) > 1 else replies[0]
            with suppress(OSError):
                self.send_response(status)
                for name, text in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    opened.url = f"http://127.0.0.1:{server.server_port}/dumps"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield opened
    server.shutdown()
    server.server_close()
    thread.join()


def dump(folder: Path, *records: Any) -> bytes:
    return write_dump(folder / "made.zip", records).read_bytes()


def test_what_changed_is_downloaded(source: Source, tmp_path: Path) -> None:
    content = dump(tmp_path, vulnerable("R-1", "Rocky Linux:9", "a"))
    source.replies["/dumps/Rocky%20Linux/all.zip"] = [(200, {"ETag": '"2"'}, content)]
    source.replies["/dumps/npm/all.zip"] = [(304, {}, b"")]

    rocky, npm = source.update(tmp_path, Rocky_Linux='"1"', npm='"7"')

    assert (npm.ecosystem, npm.etag, npm.path, npm.error) == ("npm", '"7"', None, "")
    assert (rocky.ecosystem, rocky.etag, rocky.error) == ("Rocky Linux", '"2"', "")
    assert rocky.path is not None
    with Database(rocky.path) as database:
        assert [each.id for each in database.find("a")] == ["R-1"]
        assert rocky.compiled is not None
        assert database.version == rocky.compiled.version
    assert source.requests == [("/dumps/Rocky%20Linux/all.zip", '"1"'), ("/dumps/npm/all.zip", '"7"')]
    assert list(tmp_path.glob("*Linux.zip")) == []


def test_without_an_etag_all_is_downloaded(source: Source, tmp_path: Path) -> None:
    source.replies["/dumps/npm/all.zip"] = [(304, {}, b"")]

    (found,) = source.update(tmp_path, npm="")

    assert found.error == "the source responded with status 304; redirects are not followed"
    assert source.requests == [("/dumps/npm/all.zip", None)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((404, {}, b""), ("the source has no data of it", 1)),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), ("status 302; redirects are not followed", 1)),
        ((503, {}, b""), ("the source responded with status 503", 3)),
        ((200, {"Content-Length": "1000"}, b"short"), ("the connection ended before the data did", 3)),
        ((200, {}, b"no zip"), ("it is not a zip file", 1)),
        ((200, {}, b"x" * 5000), ("the data has more than 4096 bytes", 1)),
    ],
)
def test_a_source_that_fails_changes_nothing(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, expected: tuple[str, int]
) -> None:
    error, tries = expected
    monkeypatch.setattr(download, "MAX_DOWNLOAD", 4096)
    source.replies["/dumps/Debian/all.zip"] = [reply]
    source.replies["/dumps/npm/all.zip"] = [(200, {"ETag": "n"}, dump(tmp_path, vulnerable("N", "npm", "a")))]

    debian, npm = source.update(tmp_path, Debian='"1"', npm="")

    assert error in debian.error
    assert (debian.path, debian.etag) == (None, "")
    assert (len(source.requests) - 1, source.waited) == (tries, list(download.DELAYS)[: tries - 1])
    assert (npm.etag, npm.error) == ("n", "")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["made.zip", "npm.sqlite"]


def test_a_source_that_is_down_is_not_waited_for_again(source: Source, tmp_path: Path) -> None:
    """Without internet an update of ten ecosystems would wait for two minutes."""
    down: Reply = (503, {}, b"")
    source.replies = {f"/dumps/{name}/all.zip": [down] for name in ("Alpine", "Debian", "npm")}
    source.replies["/dumps/Go/all.zip"] = [down, (304, {}, b"")]

    found = source.update(tmp_path, Alpine="", Debian="", Go='"1"')

    assert ["status 503" in each.error for each in found] == [True, True, True]
    assert source.waited == list(download.DELAYS)
    source.waited.clear()

    go, npm = source.update(tmp_path, Go='"1"', npm="")

    assert (go.error, "status 503" in npm.error) == ("", True)
    assert source.waited == list(download.DELAYS)


def test_data_without_records_is_refused(source: Source, tmp_path: Path) -> None:
    """As of a proxy that serves another ecosystem's."""
    source.replies["/dumps/npm/all.zip"] = [(200, {}, dump(tmp_path, vulnerable("P", "PyPI", "a")))]

    (found,) = source.update(tmp_path, npm="")

    assert (found.path, found.error) == (None, "the data has no records that can be used")


def test_a_source_that_fails_at_first(source: Source, tmp_path: Path) -> None:
    content = dump(tmp_path, vulnerable("N", "npm", "a"))
    source.replies["/dumps/npm/all.zip"] = [(500, {}, b"x" * 100_000), (200, {"ETag": "n"}, content)]

    (found,) = source.update(tmp_path, npm="")

    assert (found.etag, found.error) == ("n", "")


def test_a_source_that_is_down(tmp_path: Path) -> None:
    (found,) = update("http://127.0.0.1:9999", {"npm": ""}, tmp_path, source_client(5.0), lambda _: None)

    assert found.error.startswith("it cannot be reached")


def test_a_full_disk(source: Source, tmp_path: Path) -> None:
    source.replies["/dumps/npm/all.zip"] = [(200, {}, dump(tmp_path, vulnerable("N", "npm", "a")))]

    (found,) = source.update(tmp_path / "absent", npm="")

    assert found.error.startswith("the disk cannot be written")


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://127.0.0.1/", "http://10.0.0.1/", "https://a:b@c/"])
def test_sources_that_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(AddressRefused):
        check_source(url)
    with pytest.raises(AddressRefused):
        next(update(url, {"npm": ""}, tmp_path))


@pytest.mark.parametrize(
    "url", ["https://example.com/x", "http://127.0.0.1:8000/", "http://localhost:80", "http://[::1]/"]
)
def test_sources_that_are_used(url: str) -> None:
    assert check_source(url) == url.rstrip("/")


@pytest.mark.parametrize("place", ["osv-scalibr", "osv-scanner", ""])
def test_imports_of_a_folder(tmp_path: Path, place: str) -> None:
    folder, target = tmp_path / "data", tmp_path / "target"
    target.mkdir()
    for name in ("Rocky Linux", "npm", "Bitnami"):
        (folder / place / name).mkdir(parents=True)
        write_dump(folder / place / name / "all.zip", [vulnerable("X", name, "a")])
    for name in ("Debian", "NuGet"):
        (folder / place / name).mkdir()
    write_dump(folder / place / "NuGet" / "all.zip", [])
    (folder / place / "Debian" / "all.zip").write_bytes(b"no zip")

    found = {each.ecosystem: each for each in import_folder(folder, target)}

    # No package of Bitnami is recognised.
    assert set(found) == {"Rocky Linux", "npm", "Debian", "NuGet"}
    assert found["NuGet"].error == "the data has no records that can be used"
    assert found["Debian"].error.startswith("it is not a zip file")
    for name in ("Rocky Linux", "npm"):
        path = found[name].path
        assert path is not None
        with Database(path) as database:
            assert (database.ecosystem, len(database.find("a"))) == (name, 1)
        assert found[name].etag.startswith("sha256:")
    assert found["npm"].etag != found["Rocky Linux"].etag


def test_imports_of_scores_and_known_exploits(tmp_path: Path) -> None:
    lines = b"#model_version\ncve,epss,percentile\nCVE-1,0.5,0.5\n"
    (tmp_path / "epss_scores-2026-01-01.csv").write_bytes(lines.replace(b"0.5", b"0.1"))
    (tmp_path / "epss_scores-2026-01-02.csv.gz").write_bytes(gzip.compress(lines))
    catalog = {"vulnerabilities": [{"cveID": "CVE-1"}]}
    (tmp_path / "known_exploited_vulnerabilities.json").write_text(json.dumps(catalog))

    (found,) = import_folder(tmp_path, tmp_path)

    assert found.path is not None
    with Exploits(found.path) as exploits:
        assert exploits.find(["CVE-1"]) == (0.5, True)
        assert exploits.version == found.etag


def test_a_folder_without_data(tmp_path: Path) -> None:
    make: Callable[[], list[Update]] = lambda: list(import_folder(tmp_path, tmp_path))  # noqa: E731

    assert make() == []
    (tmp_path / "known_exploited_vulnerabilities.json").write_text("{}")
    assert [(each.ecosystem, bool(each.error)) for each in make()] == [("exploits", True)]
