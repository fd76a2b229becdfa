"""Layer scanner: has layers read by a process of its own, so that no layer can harm the caller's."""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from lading.scanning.layer_packages import from_json
from lading.scanning.limits import MIB, max_cpu
from lading.scanning.packages import LayerPackages

COMMAND: Final = (sys.executable, "-P", "-B", "-m", "lading.scanning.layer_process")
"""-P: no folder but those of sys.path is searched for modules; -B: none is written to."""
MEDIA_TYPES: Final = tuple(
    f"{name}{compression}"
    for name, compressions in (
        ("application/vnd.oci.image.layer.v1.tar", ("", "+gzip", "+zstd")),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", ("", "+gzip", "+zstd")),
        ("application/vnd.docker.image.rootfs.diff.tar", ("", ".gzip", ".zstd")),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", ("", ".gzip", ".zstd")),
    )
    for compression in compressions
)
"""What can be read. How a layer is compressed is seen in its first bytes."""
STALL_TIMEOUT: Final = 300
"""Seconds in which the process must take more of a layer, or reply. It needs one, unless the machine has no time;
what it computes is limited by processor time."""
END_TIMEOUT: Final = 5
"""Seconds in which the process must end once its input has ended."""
MAX_IDLE: Final = 30
"""Seconds after which a process is not used again. It is less than the process waits until it ends by itself."""
MAX_REPLY: Final = 128 * MIB


@dataclass(frozen=True, slots=True)
class LayerDescriptor:
    """A layer, as a manifest describes it.

    Attributes:
        digest: of the layer as stored.
        size: of the layer as stored, in bytes.
        media_type: decides whether it is a layer that can be read.
    """

    digest: str
    size: int
    media_type: str


class LayerFailed(Exception):
    """A layer could not be read. The text is the reason, a clause about the layer: "its gzip stream is truncated"."""


class LayerInterrupted(LayerFailed):
    """The process that read a layer ended, or stood still: the reason may be outside of the layer."""


class LayerUnread(Exception):
    """A layer is not read, whatever its bytes are. The text is the reason, a sentence that names it."""


class LayerScanner:
    """Has layers read, one after the other, by one process, which is started when it is needed.

    It is for one thread, and for the duration of a context:

        with LayerScanner() as scanner:
            for layer in layers:
                packages = scanner.scan(layer, blobs.open(layer.digest))
    """

    def __init__(self, command: Iterable[str] = COMMAND, stall_timeout: float = STALL_TIMEOUT) -> None:
        """Prepare for layers; `command` and `stall_timeout` are for tests."""
        self._command = tuple(command)
        self._stall_timeout = stall_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._used = 0.0

    def __enter__(self) -> "LayerScanner":
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def scan(self, layer: LayerDescriptor, chunks: Iterable[bytes] | None) -> LayerPackages:
        """Return what a layer declares.

        Args:
            layer: the layer.
            chunks: the layer as stored; None if it is not stored, as foreign layers may be.

        Raises:
            LayerFailed: it cannot be read, or differs from its digest. The next layer can be read nevertheless.
            LayerInterrupted: it may be read at another time.
            LayerUnread: it is not stored, or its media type is unknown.
            Exception: whatever `chunks` raises.
        """
        if layer.media_type not in MEDIA_TYPES:
            raise LayerUnread(f"{layer.digest}: layers of type {layer.media_type[:200]} cannot be read")
        if chunks is None:
            raise LayerUnread(f"{layer.digest}: the layer is not stored in this registry")
        done = False
        try:
            process = self._start()
            _write(process, json.dumps({"size": layer.size}).encode() + b"\n", layer, self._stall_timeout)
            self._write_layer(process, layer, chunks)
            reply = _read_reply(process, layer, self._stall_timeout)
            done = "error" not in reply  # what a failure left in memory does not reach the next layer
        finally:
            self._used = time.monotonic()
            if not done:
                self._kill()
        if "error" in reply:
            raise (LayerInterrupted if reply.get("passes") else LayerFailed)(reply["error"])
        return from_json(reply["layer"])

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        _streams(self._process)[0].close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT)
        self._kill()

    def _start(self) -> subprocess.Popen[bytes]:
        """Return the process, started anew if it ended, or may do so soon because it was idle."""
        if self._process and (time.monotonic() - self._used > MAX_IDLE or self._process.poll() is not None):
            self._kill()
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 # our own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                start_new_session=True,  # a keyboard's interrupt reaches the caller alone
                # It has no variable but where modules are, which it removes.
                env={"PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path)},
            )
            os.set_blocking(_streams(self._process)[0].fileno(), False)
        return self._process

    def _write_layer(self, process: subprocess.Popen[bytes], layer: LayerDescriptor, chunks: Iterable[bytes]) -> None:
        """Write a layer to the process, and compare it with its digest."""
        algorithm, _, expected = layer.digest.partition(":")
        if algorithm not in ("sha256", "sha384", "sha512"):
            raise LayerFailed(f"its digest algorithm {algorithm[:20]} is unknown")
        digest = hashlib.new(algorithm)
        size = 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            if size > layer.size:
                break
            _write(process, chunk, layer, self._stall_timeout)
        if size != layer.size or digest.hexdigest() != expected:
            raise LayerFailed("its content is not that of its digest and size")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in _streams(self._process):
                stream.close()
            self._process = None


def _streams(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _write(process: subprocess.Popen[bytes], data: bytes, layer: LayerDescriptor, timeout: float) -> None:
    """Write to the process, while it takes something in each `timeout`."""
    stream = _streams(process)[0]
    left = memoryview(data)
    while left:
        _wait(stream, select.POLLOUT, timeout)
        try:
            left = left[os.write(stream.fileno(), left) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise _ended(process, layer) from None


def _read_reply(process: subprocess.Popen[bytes], layer: LayerDescriptor, timeout: float) -> Any:
    """Return the reply of the process."""
    stream = _streams(process)[1]
    reply = bytearray()
    while not reply.endswith(b"\n"):
        _wait(stream, select.POLLIN, timeout)
        data = os.read(stream.fileno(), MIB)
        if not data or len(reply) > MAX_REPLY:
            raise _ended(process, layer)
        reply += data
    return json.loads(reply)


def _wait(stream: IO[bytes], event: int, timeout: float) -> None:
    poll = select.poll()
    poll.register(stream, event)
    if not poll.poll(timeout * 1000):
        raise LayerInterrupted(f"the process that reads it made no progress in {timeout:g} seconds")


def _ended(process: subprocess.Popen[bytes], layer: LayerDescriptor) -> LayerFailed:
    """Return why the process ended."""
    try:
        status = process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        return LayerInterrupted("the process that reads it closed its output")
    if status == -signal.SIGXCPU:
        return LayerFailed(f"reading it takes more than {max_cpu(layer.size)} seconds of processor time")
    if status == -signal.SIGKILL:
        return LayerInterrupted("the process that reads it was killed, perhaps for want of memory")
    if status < 0:
        return LayerInterrupted(f"the process that reads it was ended by the signal {signal.Signals(-status).name}")
    return LayerInterrupted(f"the process that reads it ended with status {status}")
