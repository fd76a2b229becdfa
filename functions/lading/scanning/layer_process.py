"""The process that reads layers: python -m lading.scanning.layer_process.

A layer is hostile input, so it is parsed in a process that has nothing else: no stores, no credentials, no variables of
the environment, and limits on memory and processor time. It reads layers from standard input, each a line of JSON,
{"size": bytes}, and the layer as stored. For each it writes a line of JSON to standard output, {"layer": what it
declares} or {"error": reason, "passes": whether that may pass}. It ends with its input, and when it is idle.
"""

import errno
import json
import math
import os
import resource
import select
import sys
import time
from contextlib import suppress
from io import RawIOBase
from typing import Any, BinaryIO, Final, cast

from lading.scanning.compression import READ_SIZE, LayerError
from lading.scanning.layer_packages import to_json
from lading.scanning.layer_reader import read_layer
from lading.scanning.limits import MAX_MEMORY, MAX_TEMPORARY, MIB, max_cpu

IDLE_TIMEOUT: Final = 60
"""Seconds without a layer after which the process ends."""
MAX_LINE: Final = 1024
NICENESS: Final = 5
"""Requests of the server come first."""
OUT_OF_MEMORY: Final = f"reading it takes more than {MAX_MEMORY // MIB} MiB of memory"


class _Blob(RawIOBase):
    """A layer in standard input."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        if not data and self._left:
            sys.exit(1)  # the parent is gone
        self._left -= len(data)
        return data

    def drain(self) -> None:
        """Read what is left, so that the next layer can follow."""
        while self.read(READ_SIZE):
            pass


def main() -> None:
    """Read layers until there are no more."""
    os.environ.clear()
    os.nice(NICENESS)
    _limit(resource.RLIMIT_AS, MAX_MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, MAX_TEMPORARY)
    while select.select([sys.stdin], [], [], IDLE_TIMEOUT)[0] and (line := sys.stdin.buffer.readline(MAX_LINE)):
        size = json.loads(line)["size"]
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + max_cpu(size)))
        blob = _Blob(sys.stdin.buffer, size)
        reply = _read(blob, size)
        blob.drain()
        sys.stdout.write(json.dumps(reply, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _read(blob: _Blob, size: int) -> dict[str, Any]:
    """Return the reply for a layer."""
    try:
        return {"layer": to_json(read_layer(cast(BinaryIO, blob), size))}
    except LayerError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": OUT_OF_MEMORY}
    except Exception as error:
        # A full disk is no fault of the layer; a file above the limit of this process is.
        passes = isinstance(error, OSError) and error.errno not in (None, errno.EFBIG)
        return {"error": f"reading it failed ({type(error).__name__}: {error})", "passes": passes}


def _limit(which: int, value: int) -> None:
    """Lower a limit of this process; one that the platform does not have, or has set lower, stays as it is."""
    _, hard = resource.getrlimit(which)
    with suppress(OSError, ValueError):
        resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
