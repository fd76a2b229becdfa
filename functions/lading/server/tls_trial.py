"""A trial of a certificate and its key with the server's own TLS, in a separate process.

granian's TLS (rustls) accepts less than OpenSSL does: no key of P-521, no certificate of version 1. It reads the files
when it begins to serve, and aborts the whole process if it rejects them (2.8). So a disposable process serves them
once: at a start, before any file is created, and at a change, while the server continues with its present files.

This file is run as a script, by its path, so it imports nothing of Lading.
"""

import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Collection
from typing import Any, Final

TRIAL_TIMEOUT: Final = 20.0
"""Seconds for a trial; an idle machine takes a quarter of a second."""


def is_served(cert: str, key: str, descriptors: Collection[int] = ()) -> bool:
    """Return whether the server accepts a certificate and its key; True where the trial cannot run, or times out.

    Args:
        cert: the path of the certificate.
        key: the path of the key.
        descriptors: open files that the paths refer to, if any.
    """
    command, none = [sys.executable, "-P", __file__, cert, key], subprocess.DEVNULL
    try:
        status = subprocess.call(  # noqa: S603  # no untrusted input
            command, stdin=none, stdout=none, stderr=none, timeout=TRIAL_TIMEOUT, pass_fds=descriptors
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return status == 0


def _serve_once(cert: str, key: str) -> None:
    """Serve one handshake on loopback. The process aborts where the server rejects the files."""
    from granian import _granian
    from granian._futures import _new_cbscheduler
    from granian._loops import loops
    from granian.constants import SSLProtocols

    native: Any = _granian  # its stubs are those of another release
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    backlog = (1,) if sys.platform == "linux" else ()
    holder = native.SocketHolder(listener.detach(), False, *backlog)
    files = {"ssl_enabled": True, "ssl_cert": cert, "ssl_key": key, "ssl_protocol_min": str(SSLProtocols.tls13)}
    worker = native.WSGIWorker(1, (None, holder), None, **files)
    loop, stop = loops.get("auto"), native.WorkerSignal()
    worker.serve_str(_new_cbscheduler(loop, None), loop, stop)  # type: ignore[no-untyped-call]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # The server has read the files by then, whatever the result of this handshake.
    with socket.create_connection(address, timeout=TRIAL_TIMEOUT) as connection, contextlib.suppress(ssl.SSLError):
        context.wrap_socket(connection).close()
    stop.set()


if __name__ == "__main__":
    _serve_once(*sys.argv[1:])
