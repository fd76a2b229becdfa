"""What Lading makes on a disk is for its own user alone, whatever the umask; what is wider is told of."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading import settings
from lading.jobs.doctor.modes import FileModeChecks
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.server_process import Server, run_lading, serving, user_environment


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """The umask of this process, and of those that it starts."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that all users of this machine reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o011 for parent in folder.parents):
            pytest.skip(f"{folder.parent} is private to this user")
        yield folder


def modes(folder: Path) -> dict[str, str]:
    """The mode of a folder and of all in it."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        found[str(path.relative_to(folder.parent))] = f"{path.stat().st_mode & 0o777:04o}"
    return found


def assert_private(folder: Path) -> None:
    found = modes(folder)
    assert len(found) > 5, "something was made"
    wrong = {
        name: mode for name, mode in found.items() if mode != ("0700" if (folder.parent / name).is_dir() else "0600")
    }
    assert not wrong


def push(server: Server) -> None:
    layer = images.blob(1000)
    for content in (images.EMPTY_CONFIG, layer):
        digest = digest_of(content)
        assert server.request("POST", f"/v2/app/blobs/uploads/?digest={digest}", content)[0].status == 201
    assert server.request("POST", "/v2/app/blobs/uploads/")[0].status == 202
    assert server.request("PUT", "/v2/app/manifests/v1", images.manifest([layer]))[0].status == 201


def test_all_that_is_made_is_private(umask: None, tmp_path: Path) -> None:
    """Missing parents, users, grants, keys, blobs, the database with its log and locks, the reserve, and backups."""
    data, backup = tmp_path / "srv" / "data", tmp_path / "backup"
    environment = {"LADING_DATA": str(data), "LADING_ACCESS": "users"}
    assert run_lading(["init"], tmp_path, environment).returncode == 0
    assert run_lading(["users", "set", "admin"], tmp_path, environment, stdin="secret\n").returncode == 0
    with serving({"LADING_DATA": str(data)}, tmp_path / "log") as server:
        push(server)
        made = modes(data)
        assert made["data/metadata.sqlite-wal"] == made["data/metadata.sqlite-shm"] == "0600"
        assert_private(data)
        for command in (["gc"], ["vacuum"], ["robots", "create", "ci", "--repositories", "app", "--may", "pull"]):
            done = run_lading(command, tmp_path, environment)
            assert done.returncode == 0, done.stderr
        for _ in range(2):
            done = run_lading(["backup", str(backup)], tmp_path, environment)
            assert done.returncode == 0, done.stderr
        assert_private(backup)
    assert (tmp_path / "srv").stat().st_mode & 0o777 == 0o700
    restored = {"LADING_DATA": str(tmp_path / "restored")}
    assert run_lading(["restore", str(backup)], tmp_path, restored).returncode == 0
    for folder in (data, backup, tmp_path / "restored"):
        assert_private(folder)


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o701])
def test_a_wider_folder_keeps_its_mode_and_is_told_of(mode: int, public_folder: Path, tmp_path: Path) -> None:
    data = public_folder / "data"
    data.mkdir()
    (data / "notes.txt").touch()
    data.chmod(mode)
    variables, _ = user_environment(tmp_path / "access")
    with serving({**variables, "LADING_DATA": str(data)}, tmp_path / "log") as server:
        environment = {**variables, "LADING_DATA": str(data), "LADING_URL": f"http://{server.host}"}
        wide = run_lading(["doctor"], tmp_path, environment)
        data.chmod(0o700)
        private = run_lading(["doctor"], tmp_path, environment)

    assert f"other users of this machine may read {data}: chmod go= {data}" in (tmp_path / "log").read_text()
    assert wide.returncode == 1
    assert f"can read {data} ({mode:04o})" in wide.stdout
    assert private.returncode == 0, private.stdout
    assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_of_a_shared_folder_the_database_alone_is_looked_at(mode: int, public_folder: Path) -> None:
    """To close the folder, which may be /var/lib or /tmp, would keep other programs out."""
    database = public_folder / "registry.sqlite"
    database.touch()
    database.chmod(mode)
    read = settings.load_settings(
        {"LADING_DATA": str(public_folder / "data"), "LADING_METADATA": f"sqlite://{database}"}
    )

    assert FileModeChecks(read).exposed() == ([database] if mode == 0o644 else [])


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://registry.example:5000", True),
        ("https://registry.example", False),
        ("http://127.0.0.1:5000", False),
        ("http://localhost:5000", False),
        ("http://host.docker.internal:5000", False),
    ],
)
def test_an_address_without_tls_is_warned_of(url: str, warned: bool, tmp_path: Path) -> None:
    variables, _ = user_environment(tmp_path / "access")
    with serving({**variables, "LADING_DATA": str(tmp_path / "data"), "LADING_URL": url}, tmp_path / "log"):
        said = (tmp_path / "log").read_text()

    assert ("unencrypted" in said) == warned
    assert "other users" not in said


def test_an_empty_folder_becomes_private_and_any_other_keeps_its_mode(tmp_path: Path) -> None:
    for name, others in (("served", []), ("made", []), ("shared", ["notes.txt"])):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        for other in others:
            (folder / other).touch()

    with serving({"LADING_DATA": str(tmp_path / "served")}, tmp_path / "log"):
        pass
    for name in ("made", "shared"):
        assert run_lading(["init", "--data", name], tmp_path).returncode == 0

    found = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("served", "made", "shared")}
    assert found == {"served": 0o700, "made": 0o700, "shared": 0o755}
