"""The fork server of the tests: a run of it is the command as `python -m lading.cli` runs it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulators.processes import free_port
from tests.support import fork_server
from tests.support.server_process import SOURCE_ROOTS, run_lading


def spawn(words: list[str], folder: Path, output: int) -> fork_server.ForkedProcess:
    environment = {**os.environ, "LADING_ACCESS": "everybody", "LADING_ADDRESS": f"127.0.0.1:{free_port()}"}
    with Path(os.devnull).open() as nothing:
        return fork_server.spawn(words, folder, environment, (nothing.fileno(), output, output))


@pytest.mark.parametrize(
    "words", [["config", "show"], ["ls"], ["ls", "--nonsense"], ["users", "set", "a", "--password-stdin"]], ids=str
)
def test_a_run_is_that_of_a_new_python(words: list[str], tmp_path: Path) -> None:
    variables = {"LADING_DATA": "h\xf6me", "LADING_ACCESS": "users"}
    (tmp_path / "h\xf6me").mkdir()
    new = subprocess.run(
        [sys.executable, "-m", "lading.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE_ROOTS, **variables},
        input="secret password\n",
        capture_output=True,
        text=True,
        check=False,
    )

    forked = run_lading(words, tmp_path, variables, stdin="secret password\n")

    assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)


def test_a_run_takes_nothing_from_the_one_before(tmp_path: Path) -> None:
    set_there = run_lading(["config", "show"], tmp_path, {"LADING_DATA": "elsewhere"})
    assert "elsewhere" in set_there.stdout
    assert "elsewhere" not in run_lading(["config", "show"], tmp_path).stdout


def test_runs_go_on_beside_each_other_and_end_by_signals(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        servers = [spawn(["serve", "--data", f"data{number}"], tmp_path, output.fileno()) for number in range(2)]
    with ThreadPoolExecutor(4) as pool:
        assert {done.returncode for done in pool.map(lambda _: run_lading(["--version"], tmp_path), range(8))} == {0}
    with pytest.raises(subprocess.TimeoutExpired):
        servers[0].wait(0.01)
    assert [server.poll() for server in servers] == [None, None], (tmp_path / "log").read_text()

    for server, number in zip(servers, (signal.SIGKILL, signal.SIGSTOP), strict=True):
        server.send_signal(number)
    assert servers[0].wait(30) == -signal.SIGKILL
    assert servers[1].poll() is None
    servers[1].kill()
    assert servers[1].wait(30) == -signal.SIGKILL
    servers[1].terminate()
    assert not Path(f"/proc/{servers[1].pid}").exists()


def test_what_python_reads_at_its_start_needs_a_new_one() -> None:
    assert fork_server.can_run({**os.environ, "PYTHONPATH": "/x", "LADING_DATA": "y"})
    assert not fork_server.can_run({**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert not fork_server.can_run({**os.environ, "LC_ALL": "x"})
