"""Lading's log, on standard error, as text or as JSON: a line for each request, for each decision, for each fault."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from werkzeug.wrappers import Request

from lading.http.origin import Origin
from lading.log_text import ABSENT, MAX_PATH, field, header_field

TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S%z"
"""The time of a line as text: local, with its offset from UTC."""

ACCESS_FORMAT: Final = '%s %s %s %d %d %.1f %s %s %s %s %s "%s"'
"""Time, method, path, status, bytes, milliseconds, principal, client, request id, X-Request-Id, trace, user agent."""

ACCESS_JSON_FORMAT: Final = (
    '{"severity": "INFO", "time": "%s", "httpRequest": {"requestMethod": "%s", "requestUrl": "%s", "status": %d, '
    '"responseSize": "%d", "userAgent": "%s", "remoteIp": "%s", "latency": "%.6fs", "protocol": "%s"}, '
    '"principal": "%s", "request_id": "%s", "sent_id": "%s", "trace": "%s"%s}'
)
"""The same as JSON. No field has a character that JSON would escape (log_text); json.dumps takes twice the time."""

MAX_METHOD: Final = 20
"""Characters of a method, and of a version of HTTP."""


class AccessLine:
    """The line of one request. Never a query, an Authorization header or a token.

    origin     where the request came from
    principal  who sent it, where that is known
    sent       bytes of the answer's content that have gone out
    """

    def __init__(self, request: Request, origin: Origin) -> None:
        """Take the time."""
        self._began = time.perf_counter()
        self.origin = origin
        self._method = header_field(request.method, MAX_METHOD)
        self._path = field(request.path, MAX_PATH)
        self._protocol = header_field(request.environ.get("SERVER_PROTOCOL", ""), MAX_METHOD)
        self.principal = ""
        self.sent = 0

    def count_sent(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, counted as they go out."""
        for piece in pieces:
            self.sent += len(piece)
            yield piece

    def write(self, status: int) -> None:
        """Write the line of a request that was answered with `status`."""
        if not _lines.line_format:
            return
        seconds = time.perf_counter() - self._began
        _lines.write(self._json(status, seconds) if _lines.line_format == "json" else self._text(status, seconds))

    def _text(self, status: int, seconds: float) -> str:
        id, client, agent, sent_id, trace = self.origin
        time_, who, address = time.strftime(TIME_FORMAT), field(self.principal), client.text or ABSENT
        told = (time_, self._method, self._path, status, self.sent, seconds * 1000)
        return ACCESS_FORMAT % (*told, who, address, id, sent_id, trace, agent)

    def _json(self, status: int, seconds: float) -> str:
        """Return the line as Cloud Logging reads it: an HttpRequest, whose sizes are texts, beside fields of ours."""
        id, client, agent, sent_id, trace = self.origin
        request = (self._method, self._path, status, self.sent, agent, client.text, seconds, self._protocol)
        fields = "".join(f', "{name}": "{value}"' for name, value in trace_field(trace).items())
        return ACCESS_JSON_FORMAT % (_rfc3339(time.time()), *request, field(self.principal), id, sent_id, trace, fields)


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


def log_collection(report: dict[str, Any]) -> None:
    """Write down what a slice of a collection did: a line from which metrics can be made."""
    text = f"collection {'finished' if report['finished'] else 'goes on'}: {report['freed_bytes']} bytes freed"
    if report["failed"]:
        text += f", {report['failed']} records failed"
    level = logging.ERROR if report["failed"] else logging.INFO
    logging.getLogger("lading.collect").log(level, text, extra={"fields": {"message": text, "collection": report}})


def trace_field(trace: str) -> dict[str, str]:
    """Return the field by which Cloud Logging joins the lines of one trace, where the project is known."""
    if trace == ABSENT or not _lines.project:
        return {}
    return {"logging.googleapis.com/trace": f"projects/{_lines.project}/traces/{trace}"}


class _Lines:
    """Where the lines of requests go. Past `logging`, which takes a fifth of the time of a pull for each.

    form     text or json, or "" for nowhere
    project  of Google Cloud, whose traces the lines belong to, or ""
    """

    line_format = ""
    project = ""

    def write(self, line: str) -> None:
        """Write one line."""
        # A full disk must not end what is only told of.
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")


_lines: Final = _Lines()


def start(line_format: str, project: str = "", level: str = "info") -> None:
    """Write the log to standard error, as `text` or `json`, with traces of a `project` of Google Cloud."""
    _lines.line_format, _lines.project = line_format, project and field(project)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if line_format == "json" else logging.Formatter("%(asctime)s %(message)s", TIME_FORMAT)
    )
    log = logging.getLogger("lading")
    log.setLevel(level.upper())
    # What Python writes belongs to the same stream, and has the same form.
    logging.captureWarnings(True)
    for each in (log, logging.getLogger("py.warnings")):
        each.handlers = [handler]
        each.propagate = False
    threading.excepthook = _thread_failed


def _thread_failed(storage_error_of: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread."""
    if storage_error_of.exc_value is not None:
        told = (storage_error_of.exc_type, storage_error_of.exc_value, storage_error_of.exc_traceback)
        logging.getLogger("lading").critical(
            "a thread ended: %s", storage_error_of.thread and storage_error_of.thread.name, exc_info=told
        )


def failed(reason: str) -> None:
    """Write down why the process ends, as JSON, whether or not `start` was called."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.emit(logging.makeLogRecord({"msg": reason, "levelno": logging.CRITICAL, "levelname": "CRITICAL"}))
