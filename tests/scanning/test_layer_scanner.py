"""The process that reads layers: it has nothing but a layer, its failure is a reason, and the next layer works."""

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lading
from lading.scanning.layer_scanner import LayerDescriptor, LayerFailed, LayerInterrupted, LayerScanner, LayerUnread
from tests.scanning.layers import STATUS, names, status, tar_of

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
GOOD = gzip.compress(tar_of({STATUS: status("bash 1")}))


def descriptor(blob: bytes, media_type: str = GZIP) -> LayerDescriptor:
    return LayerDescriptor(f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob), media_type)


def process_of(scanner: LayerScanner) -> int:
    assert scanner._process is not None
    return scanner._process.pid


@pytest.fixture
def scanner() -> Iterator[LayerScanner]:
    with LayerScanner() as scanner:
        yield scanner


def with_code(code: str, stall_timeout: float = 300) -> LayerScanner:
    """Return a scanner whose process runs `code` before it reads layers."""
    run = "import runpy; runpy.run_module('lading.scanning.layer_process', run_name='__main__')"
    return LayerScanner((sys.executable, "-P", "-B", "-c", f"{code}\n{run}"), stall_timeout)


def test_one_process_reads_all_layers(scanner: LayerScanner) -> None:
    processes = set()
    for number in range(3):
        blob = gzip.compress(tar_of({STATUS: status(f"bash {number}"), "x": os.urandom(300_000)}))
        assert names(scanner.scan(descriptor(blob), iter([blob[:1000], b"", blob[1000:]]))) == [f"bash {number}"]
        processes.add(process_of(scanner))
    assert len(processes) == 1


def test_its_process_ends_with_it() -> None:
    with LayerScanner() as scanner:
        scanner.scan(descriptor(GOOD), [GOOD])
        pid = process_of(scanner)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"], "it is started again"
    scanner.close()
    scanner.close()


def test_an_idle_process_is_not_used_again(scanner: LayerScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner.scan(descriptor(GOOD), [GOOD])
    first = process_of(scanner)
    monkeypatch.setattr("lading.scanning.layer_scanner.MAX_IDLE", -1)

    assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"]
    assert process_of(scanner) != first


def test_an_idle_process_ends_by_itself() -> None:
    idle = "import lading.scanning.layer_process as p; p.IDLE_TIMEOUT = 0; p.main(); import os; os._exit(0)"
    with LayerScanner((sys.executable, "-P", "-B", "-c", idle), 300) as scanner:
        process = scanner._start()
        assert process.wait(300) == 0


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (GOOD[:-10], "gzip stream is truncated"),
        (b"hello" * 200, "tar stream is corrupt"),
        (b"", "tar stream is corrupt"),
        (gzip.compress(b"x" * 600, mtime=0), "tar stream is corrupt"),
    ],
)
def test_a_layer_that_cannot_be_read_is_a_reason(scanner: LayerScanner, layer: bytes, reason: str) -> None:
    with pytest.raises(LayerFailed, match=reason):
        scanner.scan(descriptor(layer), [layer])
    assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"]


@pytest.mark.parametrize(
    "wrong",
    [GOOD[:-1] + b"x", GOOD[:-1], GOOD + b"x", b"", GOOD * 2],
    ids=["changed", "short", "long", "empty", "twice"],
)
def test_what_differs_from_its_digest_is_no_result(scanner: LayerScanner, wrong: bytes) -> None:
    with pytest.raises(LayerFailed, match="not that of its digest"):
        scanner.scan(descriptor(GOOD), [wrong])
    assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"]


def test_other_digests_are_known_too(scanner: LayerScanner) -> None:
    sha512 = f"sha512:{hashlib.sha512(GOOD).hexdigest()}"
    assert names(scanner.scan(LayerDescriptor(sha512, len(GOOD), GZIP), [GOOD])) == ["bash 1"]
    with pytest.raises(LayerFailed, match="algorithm md5 is unknown"):
        scanner.scan(LayerDescriptor("md5:0", len(GOOD), GZIP), [GOOD])


def test_a_fault_of_the_store_is_no_fault_of_the_layer(scanner: LayerScanner) -> None:
    def failing() -> Iterator[bytes]:
        yield GOOD[:100]
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        scanner.scan(descriptor(GOOD), failing())
    assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"]


def test_layers_that_cannot_be_known_are_not_read(scanner: LayerScanner) -> None:
    encrypted = descriptor(GOOD, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    with pytest.raises(LayerUnread, match=f"{encrypted.digest}: layers of type .*encrypted cannot be read"):
        scanner.scan(encrypted, [GOOD])
    foreign = descriptor(GOOD, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    with pytest.raises(LayerUnread, match=f"{foreign.digest}: the layer is not stored in this registry"):
        scanner.scan(foreign, None)
    assert scanner._process is None
    assert names(scanner.scan(foreign, [GOOD])) == ["bash 1"]


FAILURES: dict[str, tuple[str, str, type[LayerFailed]]] = {
    "killed, as for want of memory": (
        "os.kill(os.getpid(), 9)",
        "killed, perhaps for want of memory",
        LayerInterrupted,
    ),
    "crash": ("os.kill(os.getpid(), 11)", "SIGSEGV", LayerInterrupted),
    "too much memory": ("list(range(10**9))", "more than 512 MiB of memory", LayerFailed),
    "too much time": ("os.kill(os.getpid(), signal.SIGXCPU)", "20 seconds of processor time", LayerFailed),
    "exit": ("os._exit(3)", "status 3", LayerInterrupted),
    "bug": ("raise RuntimeError('oh')", r"failed \(RuntimeError: oh\)", LayerFailed),
    "full disk": ("raise OSError(28, 'No space left on device')", "No space left", LayerInterrupted),
    "file above its limit": ("raise OSError(27, 'File too large')", "File too large", LayerFailed),
    "damaged gzip": ("import gzip; raise gzip.BadGzipFile('no magic')", "no magic", LayerFailed),
}


@pytest.mark.parametrize("how", FAILURES)
def test_each_failure_of_the_process_is_a_reason_and_some_may_pass(how: str) -> None:
    code, reason, kind = FAILURES[how]
    body = "".join(f"    {line}\n" for line in code.splitlines())
    fail = f"import os, signal, lading.scanning.layer_reader as r\ndef fail(*_):\n{body}\nr.read_layer = fail"
    with with_code(fail) as scanner:
        for _ in range(2):
            with pytest.raises(LayerFailed, match=reason) as raised:
                scanner.scan(descriptor(GOOD), [GOOD])
            assert raised.type is kind


def test_the_next_layer_works_after_each_kill(scanner: LayerScanner) -> None:
    def killed(after: int, number: int) -> Iterator[bytes]:
        blob = gzip.compress(tar_of({"x": os.urandom(500_000), STATUS: status("bash 1")}), 1)
        for at in range(0, len(blob), 50_000):
            if at // 50_000 == after:
                os.kill(process_of(scanner), number)
            yield blob[at : at + 50_000]

    for after in (0, 3, 9):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU):
            with pytest.raises(LayerFailed):
                scanner.scan(LayerDescriptor("sha256:0", 600_000, GZIP), killed(after, number))
            assert names(scanner.scan(descriptor(GOOD), [GOOD])) == ["bash 1"]


def test_processor_time_is_limited() -> None:
    """The limit is set lower than in production, by the module that holds it."""
    slow = "import lading.scanning.layer_process as p\np.max_cpu = lambda size: 1\n"
    slow += "p.read_layer = lambda *_: any(iter(int, 1))\np.main()"
    scanner = LayerScanner((sys.executable, "-P", "-B", "-c", slow), 300)
    with scanner, pytest.raises(LayerFailed, match="takes more than 20 seconds of processor time"):
        scanner.scan(descriptor(GOOD), [GOOD])


def test_a_process_that_stands_still_is_ended() -> None:
    still = "import lading.scanning.layer_reader as r, time\nr.read_layer = lambda *_: time.sleep(600)"
    with with_code(still, stall_timeout=1) as scanner:
        with pytest.raises(LayerInterrupted, match="no progress in 1 seconds"):
            scanner.scan(descriptor(GOOD), [GOOD])
        assert scanner._process is None


AUDIT = """
import sys, os
def audit(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        os.write({fd}, os.fsencode(args[0]) + b"\\n")
    if event.startswith(("socket", "subprocess", "os.exec", "os.fork", "os.posix_spawn", "ctypes.dlopen")):
        os.write({fd}, event.encode() + b"\\n")
sys.addaudithook(audit)
"""


def test_the_process_opens_nothing_but_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/secret")
    log = tmp_path / "opened"
    code = f"import os\nfd = os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT)\n" + AUDIT.format(fd="fd")
    code += "os.write(fd, ' '.join(k for k in os.environ if k != 'LC_CTYPE').encode() + b'\\n')"
    database = b"x" * 9_000_000
    blob = gzip.compress(tar_of({STATUS: status("bash 1") + database, "opt/app/a.jar": database, "bin/x": b"\x7fELF"}))
    with with_code(code) as scanner:
        scanner.scan(descriptor(blob), [blob])
    environment, *opened = log.read_text().splitlines()

    assert environment == "PYTHONPATH"
    code_folders = tuple(str(Path(each).absolute()) for each in (*sys.path, sys.prefix, sys.base_prefix) if each)
    wrong = [path for path in opened if not path.startswith((*code_folders, "/tmp")) and path != "<frozen runpy>"]
    assert wrong == []
    assert [path for path in opened if path.startswith("/tmp")] != [], "the audit sees the temporary file"


SCAN_THERE = """
from hashlib import sha256
from lading.scanning.layer_scanner import LayerDescriptor, LayerFailed, LayerScanner
empty = LayerDescriptor("sha256:" + sha256().hexdigest(), 0, "application/vnd.oci.image.layer.v1.tar")
try:
    LayerScanner().scan(empty, [])
except LayerFailed as error:
    print(error)
"""


def test_the_process_finds_its_code_where_that_of_the_caller_is(tmp_path: Path) -> None:
    """A function is a folder from which Python runs, without variables of the environment."""
    shutil.copytree(Path(lading.__file__).parent, tmp_path / "lading")
    replaced = tmp_path / "lading" / "scanning" / "layer_process.py"
    replaced.write_text('import sys\nprint(\'{"error": "read by %s"}\' % __file__, flush=True)\nsys.stdin.read()')

    done = subprocess.run(
        [sys.executable, "-c", SCAN_THERE], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )

    assert done.stdout == f"read by {replaced}\n"
