"""What goes wrong in a command is one line: with the file, and the next step, and no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading import cli
from lading.commands import exit_status
from lading.registry.registry import Registry
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.server_process import SOURCE_ROOTS, run_lading

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCE_ROOTS}
LADING = [sys.executable, "-m", "lading.cli"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a registry in it, and more moves of tags than a pipe takes."""
    stores = folder_stores(tmp_path / "lading-data")
    registry = Registry(stores.blobs, stores.metadata)
    push_image(registry, "app", *(f"tag-{number:0100d}" for number in range(500)))
    stores.close()
    return tmp_path


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [*LADING, "history", "app", "--limit", "1000"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == exit_status.PIPE_CLOSED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["history", "app"], ["login-help", "HOST"]], ids=" ".join)
def test_an_output_that_is_full_is_one_line(folder: Path, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*LADING, *words], cwd=folder, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "lading: standard output: No space left on device\n")


def test_an_output_that_is_closed_is_no_error(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *LADING, "deleted", "app"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTED = """
import os, signal, sys
from lading import cli
from lading.commands import exit_status
from lading.registry.tags.tags import Tags
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
Tags.history = lambda *_: os.kill(os.getpid(), signal.SIGINT)
sys.exit(cli.main(["history", "app"]))
"""


def test_an_interrupted_command_ends_silently(folder: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (exit_status.INTERRUPTED, "", "")


def test_a_server_that_is_interrupted_ends_silently(tmp_path: Path) -> None:
    log, command = tmp_path / "log", [*LADING, "serve", "--address", f"127.0.0.1:{free_port()}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=output, stderr=output) as process,
    ):
        while b"Try:" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert process.returncode in (0, exit_status.INTERRUPTED)
    assert "Traceback" not in log.read_text()


INTERRUPTED_IN_A_CALLBACK = """
import os, signal, sys, weakref
from lading import cli
from lading.server import serve
signal.signal(signal.SIGINT, signal.default_int_handler)
class Thing: ...
def interrupted(*_):
    thing = Thing()
    dying = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
    sys.exit(99)
serve.serve = interrupted
sys.exit(cli.main(["serve", "--address", sys.argv[1]]))
"""


def test_an_interrupt_before_the_server_handles_it_is_not_lost(tmp_path: Path) -> None:
    """As a KeyboardInterrupt is that is raised in a callback of a weak reference."""
    command = [sys.executable, "-c", INTERRUPTED_IN_A_CALLBACK, f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (exit_status.INTERRUPTED, "")


DEFECT_TOLD = "a defect of Lading: KeyError: 'a key'; LADING_TRACEBACK=1 shows where, for a bug report"

DEFECT = """
import sys
from lading import cli
from lading.commands import exit_status
from lading.registry.tags.tags import Tags
Tags.history = lambda *_: {}["a key"]
sys.exit(cli.main(["history", "app"]))
"""


def test_a_defect_is_one_line_and_its_traceback_is_had_on_demand(folder: Path) -> None:
    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DEFECT]
        return subprocess.run(
            command, cwd=folder, env={**ENVIRONMENT, **more}, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 1
    assert (
        done.stderr
        == "lading: a defect of Lading: KeyError: 'a key'; LADING_TRACEBACK=1 shows where, for a bug report\n"
    )
    assert "Traceback" in run(LADING_TRACEBACK="1").stderr


def test_a_user_without_a_name_is_told_by_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.chdir(folder)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    assert cli.main(["delete", f"app:tag-{1:0100d}"]) == 0
    assert cli.main(["history", "app", "--limit", "1"]) == 0
    assert f"uid {os.getuid()} (lading delete)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--addr", "127.0.0.1:5000"],
        ["history", "app", "--lim", "1"],
        ["cleanup", "plan", "--jso"],
        ["robots", "create", "ci", "--repo", "a"],
        ["delete", "app", "--for"],
    ],
    ids=" ".join,
)
def test_options_are_written_out(tmp_path: Path, words: list[str]) -> None:
    done = run_lading(words, tmp_path)
    assert done.returncode == 2
    assert "unrecognized arguments" in done.stderr or "are required" in done.stderr


@pytest.mark.parametrize("policies", ["absent.json", "[", '[{"name": "x"}]', "."])
def test_a_server_refuses_policies_with_a_mistake(tmp_path: Path, policies: str) -> None:
    done = run_lading(["serve", "--address", f"127.0.0.1:{free_port()}", "--cleanup", policies], tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("lading: --cleanup")
    assert len(done.stderr.splitlines()) == 1
    assert "Errno" not in done.stderr
    assert not (tmp_path / "lading-data").exists()


UNUSABLE = {
    "--data file": "Not a directory; use another --data FOLDER",
    "--data file/below": "Not a directory; use another --data FOLDER",
    "--data /proc/x": "/proc/x: No such file or directory; use another --data FOLDER",
    "--blobs file:///proc/x": "/proc/x: No such file or directory; use another --data FOLDER",
    "--metadata sqlite:///proc/x/y": "/proc/x: No such file or directory; use another --data FOLDER",
    "--metadata sqlite:///proc": "/proc is a folder, and metadata is one file",
    "--users /proc/x/users": "/proc/x: No such file or directory; use another --users FILE",
}


@pytest.mark.parametrize("options", UNUSABLE)
@pytest.mark.parametrize("command", ["init", "serve"])
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path, command: str, options: str) -> None:
    (tmp_path / "file").touch()
    address = ["--address", f"127.0.0.1:{free_port()}"] if command == "serve" else []

    done = run_lading([command, *address, *options.split()], tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert UNUSABLE[options] in done.stderr
