"""Lading's log, on standard error, as text or as JSON: a line for each request, for each decision, for each fault."""

import contextlib
import json
import logging
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from werkzeug.wrappers import Request

audit_log: Final = logging.getLogger("lading.audit")

TRACE: Final = re.compile(r"([0-9a-f]{32})(?:/.*)?")
"""What Google's front end gives each request: X-Cloud-Trace-Context."""

ACCESS: Final = "%(method)s %(path)s %(status)s %(bytes)s %(ms)s %(principal)s"

MOMENT: Final = "%Y-%m-%d %H:%M:%S"

LONGEST: Final = 255
"""Characters of a repository, and of a reference, in a line."""


class AccessLine:
    """The line of one request: method, path, status, bytes, ms, principal. Never a query, a header or a token.

    id         of the request
    principal  who sent it, where that is known
    sent       bytes of the answer's content that have gone out
    """

    def __init__(self, request: Request) -> None:
        """Take the time."""
        self._began = time.perf_counter()
        trace = TRACE.fullmatch(request.headers.get("X-Cloud-Trace-Context", ""))
        self.id = trace[1] if trace else f"{random.getrandbits(128):032x}"
        self._method = request.method
        # Quoted, so that no path can end the line, or look like the next.
        self._path = quote(request.path, safe="/:")
        self.principal = ""
        self.sent = 0

    def counting(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, counted as they go out."""
        for piece in pieces:
            self.sent += len(piece)
            yield piece

    def write(self, status: int) -> None:
        """Write the line of a request that was answered so."""
        fields = {
            "method": self._method,
            "path": self._path,
            "status": status,
            "bytes": self.sent,
            "ms": round((time.perf_counter() - self._began) * 1000, 1),
            "principal": self.principal or "-",
            "request_id": self.id,
        }
        _lines.write(fields)


class Audit:
    """The lines that say who was refused what, and who wrote what. Never a token, nor a hash of one."""

    def __init__(self, request_id: str, anonymous: bool) -> None:
        """Write for the request of this id, which came without credentials, or with."""
        self.id = request_id
        self._anonymous = anonymous
        self.principal = ""

    def decision(self, action: str, repository: str, reference: str, status: int) -> None:
        """Write down a decision whose answer has this status."""
        outcome = "refused" if status in (401, 403) else "allowed" if status < 400 else "failed"
        if status == 401 and self._anonymous:
            # How every login begins.
            outcome = "challenged"
        fields = {
            "principal": self.principal or "-",
            "action": action,
            # Both are whatever a stranger has sent, which may be a name, or a line of a log.
            "repository": quote(repository[:LONGEST], safe="/") or "-",
            "reference": quote(reference[:LONGEST], safe=":/") or "-",
            "outcome": outcome,
            "status": status,
            "request_id": self.id,
        }
        text = "audit %(principal)s %(action)s %(repository)s %(reference)s %(outcome)s %(request_id)s"
        level = logging.WARNING if outcome == "refused" else logging.INFO
        audit_log.log(level, text, fields, extra={"fields": {"message": text % fields, "audit": fields}})

    def refused(self, action: str, repository: str, reference: str) -> None:
        """Write down that an action was refused, though the request goes on without it."""
        self.decision(action, repository, reference, 403)


class JsonLines(logging.Formatter):
    """Lines as JSON objects, in the shape that Cloud Logging reads (structured logging)."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {"severity": record.levelname, "time": _rfc3339(record.created)}
        fields = getattr(record, "fields", None)
        line |= fields or {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _rfc3339(seconds: float) -> str:
    """A time as Cloud Logging reads it, or it takes another one."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def collected(report: dict[str, Any]) -> None:
    """Write down what a slice of a collection did: a line from which metrics can be made."""
    text = f"collection {'finished' if report['finished'] else 'goes on'}: {report['freed_bytes']} bytes freed"
    if report["failed"]:
        text += f", {report['failed']} records failed"
    level = logging.ERROR if report["failed"] else logging.INFO
    logging.getLogger("lading.collect").log(level, text, extra={"fields": {"message": text, "collection": report}})


class _Lines:
    """Where the lines of requests go. Past `logging`, which takes a fifth of the time of a pull for each."""

    form = ""
    """As `text` or `json`, or nowhere."""

    def write(self, fields: dict[str, Any]) -> None:
        """One line, in the form of all others."""
        if not self.form:
            return
        if self.form == "json":
            line = json.dumps({"severity": "INFO", "time": _rfc3339(time.time())} | fields)
        else:
            line = f"{time.strftime(MOMENT)} {ACCESS % fields}"
        # A full disk must not end what is only told of.
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")


_lines: Final = _Lines()


def start(form: str) -> None:
    """Write the log to standard error, as `text` or `json`."""
    _lines.form = form
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(message)s", MOMENT))
    log = logging.getLogger("lading")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
