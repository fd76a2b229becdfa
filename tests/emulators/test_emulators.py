"""`python -m emulators`: both answer, and nothing is ever left behind."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import firestore, storage

from emulators import EmulatorError, Emulators, running
from tests.support.emulator_process import start, wait_for_end
from tests.support.server_process import PROCESS_TIMEOUT


def test_both_answer_and_what_is_fresh_is_empty(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = emulators.fresh_stores()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bucket = storage.Client().bucket(variables["LADING_BLOBS"].removeprefix("gs://"))
    assert list(bucket.list_blobs()) == []
    bucket.blob("a/b").upload_from_string(b"bytes")
    assert bucket.blob("a/b").download_as_bytes() == b"bytes"
    # A signed URL has this form: <host>/<bucket>/<object>.
    with urllib.request.urlopen(f"{variables['STORAGE_EMULATOR_HOST']}/{bucket.name}/a/b", timeout=10) as answer:
        assert answer.read() == b"bytes"

    project, _, database = variables["LADING_METADATA"].removeprefix("firestore://").partition("/")
    client = firestore.Client(project=project, database=database)
    client.document("a/b").create({"x": 1})
    assert client.document("a/b").get().to_dict() == {"x": 1}
    client.close()  # type: ignore[no-untyped-call]

    other = emulators.fresh_stores()
    same = {emulators.storage.url, emulators.firestore.address, emulators.iam.url}
    assert set(other.values()) & set(variables.values()) == same


@pytest.mark.usefixtures("emulators")
def test_the_variables_reach_the_command_and_its_status_comes_back() -> None:
    script = "import os; print(*(os.environ[name] for name in "
    script += "('STORAGE_EMULATOR_HOST', 'FIRESTORE_EMULATOR_HOST', 'LADING_BLOBS', 'LADING_METADATA'))); exit(7)"

    status, output, errors = wait_for_end(start("run", "--", sys.executable, "-c", script))

    assert status == 7, errors
    storage_host, firestore_host, blobs, metadata = output.split()
    assert storage_host.startswith("http://localhost:")
    assert firestore_host.startswith("127.0.0.1:")
    assert blobs.startswith("gs://")
    assert metadata.startswith("firestore://")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_command_the_variables_are_printed(emulators: Emulators, end: signal.Signals) -> None:
    named = {"FIRESTORE_EMULATOR_HOST": emulators.firestore.address, "STORAGE_EMULATOR_HOST": emulators.storage.url}
    process = start(environment=named)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(end)
    status, _, errors = wait_for_end(process)

    assert all(line.startswith("export ") for line in lines), errors
    assert status == 0


def descendants(pid: int) -> set[int]:
    """The processes below a process."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found |= {child} | descendants(child)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    running_still = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            running_still.add(pid)
    return running_still


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A run whose command says that it has begun, starts a child of its own, and would go on for an hour."""
    process = start("run", "--", "sh", "-c", "sleep 3600 & echo begun; wait")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
@pytest.mark.usefixtures("emulators")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_over(family: subprocess.Popen[str], number: signal.Signals) -> None:
    below = descendants(family.pid)
    assert len(below) >= 6, "java, fake-gcs-server, iam, the command and its child, and a watchdog"

    family.send_signal(number)
    family.wait(PROCESS_TIMEOUT)

    deadline = time.monotonic() + PROCESS_TIMEOUT
    while alive(below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(below) == set()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PATH": "", "CLOUDSDK_ROOT_DIR": ""}, "gcloud components install cloud-firestore-emulator"),
        (
            {"PATH": "", "LADING_FIRESTORE_EMULATOR_JAR": "/nowhere.jar"},
            "or name its jar in LADING_FIRESTORE_EMULATOR_JAR",
        ),
        ({"PATH": "", "LADING_FIRESTORE_EMULATOR_JAR": __file__}, "needs Java"),
    ],
)
def test_what_is_missing_is_said_with_what_to_install(variables: dict[str, str], words: str) -> None:
    status, _, errors = wait_for_end(
        start("run", "--", "true", environment={"FIRESTORE_EMULATOR_HOST": "", **variables})
    )

    assert status == 1
    assert words in errors
    assert "Traceback" not in errors


def test_what_runs_already_is_used_and_not_ended(emulators: Emulators) -> None:
    named = {"FIRESTORE_EMULATOR_HOST": emulators.firestore.address, "STORAGE_EMULATOR_HOST": emulators.storage.url}

    status, output, errors = wait_for_end(start("run", "--", "env", environment=named))

    assert status == 0, errors
    assert f"FIRESTORE_EMULATOR_HOST={emulators.firestore.address}" in output.splitlines()
    with urllib.request.urlopen(f"http://{emulators.firestore.address}/", timeout=10) as answer:
        assert answer.status == 200


def test_a_command_that_does_not_exist_is_said_to(emulators: Emulators) -> None:
    named = {"FIRESTORE_EMULATOR_HOST": emulators.firestore.address, "STORAGE_EMULATOR_HOST": emulators.storage.url}

    status, _, errors = wait_for_end(start("run", "--", "no-such-command", environment=named))

    assert (status, "cannot run no-such-command" in errors) == (1, True)
    assert wait_for_end(start("fly"))[0] == 2


def test_an_emulator_that_cannot_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no heap left; exit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("LADING_FIRESTORE_EMULATOR_JAR", str(java))
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)

    with pytest.raises(EmulatorError, match="no heap left"), running():
        pass
