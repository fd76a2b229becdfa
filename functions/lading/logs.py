"""Lading's log, on standard error, as text or JSON: a line for each request, audit decision and error."""

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

from lading.http.origin import SPAN, Origin
from lading.log_text import ABSENT, MAX_PATH, field, header_field

TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S%z"
"""The format of times in text lines: local, with the offset from UTC."""

ACCESS_FORMAT: Final = '%s %s %s %d %d %.1f %s %s %s %s %s "%s"'
"""Time, method, path, status, bytes, milliseconds, principal, client, request id, X-Request-Id, trace, user agent."""

ACCESS_JSON_FORMAT: Final = (
    '{"severity": "INFO", "time": "%s", "httpRequest": {"requestMethod": "%s", "requestUrl": "%s", "status": %d, '
    '"responseSize": "%d", "userAgent": "%s", "remoteIp": "%s", "latency": "%.6fs", "protocol": "%s"}, '
    '"principal": "%s", "request_id": "%s", "sent_id": "%s", "trace": "%s"%s}'
)
"""The same as JSON. No field has a character that JSON would escape (log_text); json.dumps takes twice the time."""

MAX_METHOD: Final = 20
"""Maximum characters of a method, and of an HTTP version."""


class AccessLine:
    """The line of one request in the access log. It never contains a query, an Authorization header or a token.

    origin     the origin of the request
    principal  the authenticated principal, or ""
    sent       bytes of the response's content that were sent
    """

    def __init__(self, request: Request, origin: Origin) -> None:
        """Record the request and the time at which it began."""
        self._began = time.perf_counter()
        self.origin = origin
        self._method = header_field(request.method, MAX_METHOD)
        self._path = field(request.path, MAX_PATH)
        self._protocol = header_field(request.environ.get("SERVER_PROTOCOL", ""), MAX_METHOD)
        self.principal = ""
        self.sent = 0

    def count_sent(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and count their bytes as they are sent."""
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk

    def write(self, status: int) -> None:
        """Write the line of a request whose response had this status."""
        if not _lines.line_format:
            return
        seconds = time.perf_counter() - self._began
        _lines.write(self._json(status, seconds) if _lines.line_format == "json" else self._text(status, seconds))

    def _text(self, status: int, seconds: float) -> str:
        id, client, agent, sent_id, trace, _ = self.origin
        principal, address = field(self.principal), client.text or ABSENT
        request = (time.strftime(TIME_FORMAT), self._method, self._path, status, self.sent, seconds * 1000)
        return ACCESS_FORMAT % (*request, principal, address, id, sent_id, trace, agent)

    def _json(self, status: int, seconds: float) -> str:
        """Return the line for Cloud Logging: an HttpRequest, in which sizes are strings, and Lading's own fields."""
        id, client, agent, sent_id, trace, span = self.origin
        request = (self._method, self._path, status, self.sent, agent, client.text, seconds, self._protocol)
        fields = "".join(f', "{name}": {json.dumps(value)}' for name, value in trace_fields(trace, span).items())
        return ACCESS_JSON_FORMAT % (_rfc3339(time.time()), *request, field(self.principal), id, sent_id, trace, fields)


class JsonLines(logging.Formatter):
    """Formats lines as JSON objects for Cloud Logging (structured logging)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {"severity": record.levelname, "time": _rfc3339(record.created)}
        fields = getattr(record, "fields", None)
        line |= fields or {"message": record.getMessage()}
        if span := getattr(record, SPAN, None):
            line |= trace_fields(*span)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _rfc3339(seconds: float) -> str:
    """Return a time in the format that Cloud Logging parses; otherwise it would replace it by the time of receipt."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def log_collection(report: dict[str, Any]) -> None:
    """Log the report of a slice of garbage collection, as a line for log-based metrics."""
    text = f"collection {'finished' if report['finished'] else 'goes on'}: {report['freed_bytes']} bytes freed"
    if report["failed"]:
        from lading.quantity import counted

        text += f", {counted(report['failed'], 'record')} failed"
    level = logging.ERROR if report["failed"] else logging.INFO
    logging.getLogger("lading.collect").log(level, text, extra={"fields": {"message": text, "collection": report}})


def log_publication(report: dict[str, Any], always: bool = False) -> None:
    """Log the report of a run of the publisher, as a line for log-based metrics; only if it did something, or `always`.

    A server runs it each second.
    """
    tried = report["published"] + report["refused"] + report["races_lost"] + sum(report["deliveries"].values())
    if not (tried or report["sink_failed"] or always):
        return
    text = f"events published: {report['published']}, waiting: {report['waiting']}"
    if report["waiting"]:
        text += f", the oldest for {report['oldest_seconds']:.0f} s"
    problems = {**report["down"], **report["stalled"]}
    for name, reason in problems.items():
        text += f"; {name}: {reason}"
    level = logging.WARNING if problems else logging.INFO
    logging.getLogger("lading.publish").log(level, "%s", text, extra={"fields": {"message": text, "publish": report}})


def log_deliveries(report: dict[str, Any]) -> None:
    """Log the report of a run of deliveries to webhooks; only if it did something: a server runs it each second."""
    if any(report["deliveries"].values()):
        text = ", ".join(f"{count} {state}" for state, count in report["deliveries"].items())
        fields = {"message": f"deliveries to webhooks: {text}", "deliver": report}
        logging.getLogger("lading.deliver").info("%s", fields["message"], extra={"fields": fields})


def log_scans(report: dict[str, Any]) -> None:
    """Log the report of a run of the scanner; only if it did something: a server runs it each second."""
    if any(report["scans"].values()):
        text = ", ".join(f"{state} {count}" for state, count in report["scans"].items())
        fields = {"message": f"scans: {text}", "scan": report}
        logging.getLogger("lading.scan").info("%s", fields["message"], extra={"fields": fields})


def log_attestations(report: dict[str, Any]) -> None:
    """Log the report of a call of the attester, as a line for log-based metrics; only if it is about any image."""
    if any(report["images"].values()):
        text = ", ".join(f"{count} {outcome}" for outcome, count in report["images"].items() if count)
        fields = {"message": f"attestations: {text}", "attest": report}
        logging.getLogger("lading.attest").info("%s", fields["message"], extra={"fields": fields})


def log_data_updates(report: dict[str, Any]) -> None:
    """Log the report of an update of vulnerability data; only if the source was asked, which is once a day."""
    if report["data"]:
        text = ", ".join(f"{count} {outcome}" for outcome, count in report["data"].items())
        failures = f" ({'; '.join(report['failures'])})" if report["failures"] else ""
        fields = {"message": f"vulnerability data: {text}{failures}", "vulnerabilities": report}
        logging.getLogger("lading.vulnerabilities").info("%s", fields["message"], extra={"fields": fields})


def trace_fields(trace: str, span: str = ABSENT) -> dict[str, str | bool]:
    """Return the fields by which Cloud Logging correlates the lines of a trace; empty without a project.

    https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
    """
    if trace == ABSENT or not _lines.project:
        return {}
    fields: dict[str, str | bool] = {"logging.googleapis.com/trace": f"projects/{_lines.project}/traces/{trace}"}
    if span != ABSENT:
        fields |= {"logging.googleapis.com/spanId": span, "logging.googleapis.com/trace_sampled": True}
    return fields


class _Lines:
    """The writer of the access log. It bypasses `logging`, which takes a fifth of the time of a pull for each line.

    line_format  text or json, or "" to write nothing
    project      the Google Cloud project of the traces, or ""
    """

    line_format = ""
    project = ""

    def write(self, line: str) -> None:
        """Write one line."""
        # A full disk of the log must not fail requests.
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")


_lines: Final = _Lines()


def start(line_format: str, project: str = "", level: str = "info") -> None:
    """Set up the log on standard error.

    Args:
        line_format: text or json.
        project: the Google Cloud project of the traces, or "".
        level: the minimum level of messages, such as info.
    """
    _lines.line_format, _lines.project = line_format, project and field(project)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if line_format == "json" else logging.Formatter("%(asctime)s %(message)s", TIME_FORMAT)
    )
    log = logging.getLogger("lading")
    log.setLevel(level.upper())
    # Python's warnings go to the same stream, in the same format.
    logging.captureWarnings(True)
    for each in (log, logging.getLogger("py.warnings")):
        each.handlers = [handler]
        each.propagate = False
    threading.excepthook = _thread_failed


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread."""
    if args.exc_value is not None:
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        name = args.thread and args.thread.name
        logging.getLogger("lading").critical("a thread ended: %s", name, exc_info=exc_info)


def failed(reason: str) -> None:
    """Log the reason why the process ends, as JSON, whether or not `start` was called."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.emit(logging.makeLogRecord({"msg": reason, "levelno": logging.CRITICAL, "levelname": "CRITICAL"}))
