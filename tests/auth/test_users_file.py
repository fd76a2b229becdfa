"""The file of users, changed by several at once."""

import threading
from pathlib import Path

import pytest

from lading.auth import users_file
from lading.auth.access_files import FileInvalid
from lading.auth.users_file import UsersFile, folder_lock

HASH = "$2b$10$" + "a" * 53
OTHER = "$2b$10$" + "b" * 53


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text(f"# people\nalice:{HASH}\n")
    return file


def test_no_change_is_lost_among_many(path: Path) -> None:
    barrier = threading.Barrier(16)

    def change(number: int) -> None:
        barrier.wait()
        UsersFile(path).set(f"user{number}", HASH)

    threads = [threading.Thread(target=change, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(UsersFile(path).names()) == {"alice", *(f"user{number}" for number in range(16))}


def test_a_login_waits_for_no_lock_and_undoes_no_edit(path: Path) -> None:
    file = UsersFile(path)
    with folder_lock(path.parent):
        assert not file.replace("alice", HASH, OTHER)
    assert file.replace("alice", HASH, OTHER)
    assert not file.replace("alice", HASH, HASH), "by now there is another"
    assert not file.replace("bob", HASH, OTHER)
    assert path.read_text() == f"# people\nalice:{OTHER}\n"
    file.remove("alice")
    assert not file.replace("alice", OTHER, HASH), "nor does it bring anybody back"


def test_what_no_server_could_read_is_not_written(path: Path) -> None:
    path.write_text(f"# people\nalice:{HASH}\nbob:plain\n")

    with pytest.raises(FileInvalid, match="line 3"):
        UsersFile(path).set("carol", HASH)
    assert path.read_text() == f"# people\nalice:{HASH}\nbob:plain\n"
    assert UsersFile(path).remove("bob")
    assert path.read_text() == f"# people\nalice:{HASH}\n"


def test_mode_and_link_stay(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    path.chmod(0o640)

    UsersFile(link).set("bob", HASH)

    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert UsersFile(path).names() == ["alice", "bob"]
    UsersFile(tmp_path / "new" / "users").set("bob", HASH)
    assert (tmp_path / "new" / "users").stat().st_mode & 0o777 == 0o600


def test_a_change_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(old: Path, new: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(users_file, "_copy_owner", fail)
    with pytest.raises(OSError, match="no space"):
        UsersFile(path).set("bob", HASH)
    assert [each.name for each in path.parent.iterdir()] == ["users"]
