"""Files of the data folder that are damaged, or that cannot be: one line that names the file and what to do."""

from pathlib import Path

import pytest

from tests.support.folder_stores import folder_stores
from tests.support.server_process import run_lading


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder_stores(tmp_path / "lading-data").close()
    return tmp_path / "lading-data"


SERVE = ["serve", "--address", "127.0.0.1:1"]
CREATE = ["robots", "create", "ci", "--repositories", "a/*"]


def assert_error(words: list[str], folder: Path, *parts: str) -> None:
    done = run_lading(words, folder)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert "Errno" not in last
    for part in parts:
        assert part in last


@pytest.mark.parametrize("words", [SERVE, CREATE])
def test_keys_that_cannot_be_read(words: list[str], data: Path) -> None:
    (data / "keys.json").mkdir()

    assert_error(words, data.parent, str(data / "keys.json"), "use --keys file:///FILE")


def test_keys_that_cannot_be_made(data: Path) -> None:
    assert_error([*SERVE, "--keys", "file:///proc/x"], data.parent, "/proc/x", "use --keys file:///FILE")


def test_a_document_of_keys_that_is_none(data: Path) -> None:
    (data / "keys.json").write_text("{}")

    assert_error(SERVE, data.parent, str(data / "keys.json"), "restore the file from a backup")


@pytest.mark.parametrize("content", ["", "one", "\0"])
def test_a_layout_that_says_no_version(content: str, data: Path) -> None:
    (data / "blobs" / "LAYOUT").write_text(content)

    assert_error(["du"], data.parent, str(data / "blobs" / "LAYOUT"), "write 1 into it")
