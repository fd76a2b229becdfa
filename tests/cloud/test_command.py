"""`python -m emulators cloud`."""

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from emulators import Emulators
from tests.support.emulator_process import start, wait_for_end
from tests.support.requirements import find_program
from tests.support.server_process import basic

PAGE = (Path(__file__).parents[2] / "docs" / "emulators.md").read_text()


@pytest.fixture
def running_ones(emulators: Emulators) -> Mapping[str, str]:
    """The variables by which the command uses the emulators of the session."""
    return {"FIRESTORE_EMULATOR_HOST": emulators.firestore.address, "STORAGE_EMULATOR_HOST": emulators.storage.url}


@pytest.fixture
def waiting(running_ones: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command without a command of its own."""
    process = start("cloud", environment=running_ones)
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_it_prints_the_host_and_a_token_and_ends_all_at_a_signal(waiting: subprocess.Popen[str]) -> None:
    assert waiting.stdout is not None
    lines = [waiting.stdout.readline() for _ in range(3)]
    host = r"127\.0\.0\.1:\d+"
    printed = rf"LADING_HOST=({host})\nLADING_TOKEN=(ya29\.\S+)\nPUBSUB_EMULATOR_HOST={host}\n"
    found = re.fullmatch(printed, "".join(lines))
    assert found, lines
    url, token = f"http://{found[1]}/v2/_catalog", {"Authorization": basic("oauth2accesstoken", found[2])}
    assert requests.get(url, headers=token, timeout=30).json() == {"repositories": []}
    children = sessions_below(waiting.pid)
    assert len(children) >= 5

    waiting.send_signal(signal.SIGTERM)
    status, output, errors = wait_for_end(waiting)

    assert (status, output, errors) == (0, "", "")
    assert {pid for pid in children if Path(f"/proc/{pid}").exists()} == set()


def sessions_below(pid: int) -> set[int]:
    """Return all processes below one."""
    children = {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children.union(*map(sessions_below, children))


def test_a_command_gets_both_as_the_page_shows(
    running_ones: Mapping[str, str], docker_address: str, tmp_path: Path
) -> None:
    find_program("docker", "apt install docker.io")
    waits, logs_in = re.findall(r"^python -m emulators (cloud.*)$", PAGE, re.MULTILINE)
    assert waits == "cloud"
    environment = {**running_ones, "DOCKER_HOST": docker_address, "DOCKER_CONFIG": str(tmp_path)}

    status, output, errors = wait_for_end(start(*shlex.split(logs_in), environment=environment))

    assert (status, "Login Succeeded" in output) == (0, True), errors
