"""The access log: what a client sends stands in one field of one line, as text and as JSON."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lading import logs
from lading.app import request_of
from lading.http.origin import origin
from lading.logs import AccessLine

TRACE = "0af7651916cd43dd8448eb211c80319c"
EVIL = [
    'a", "severity": "ERROR", "b": "c',
    'a\\"\\',
    "a\nGET /v2/ 200 1 0.1 admin 192.0.2.1",
    "a\r\x00\x0b\x1b[2J\x7f\x85\xa0\xff",
    "%22 %0A",
    "x" * 70_000,
    "\u2028\N{RIGHT-TO-LEFT OVERRIDE}é",
    "\ud800",
]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Writes the line of one request in a form, and gives it back."""
    before = vars(logs._lines).copy()

    def write(form: str, project: str = "", principal: str = "", **environ: str) -> str:
        logs._lines.line_format, logs._lines.project = form, project
        given = {"REQUEST_METHOD": "GET", "SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.url_scheme": "http", **environ}
        line = AccessLine(request_of(given), origin(given, 1))
        line.principal = principal
        line.write(200)
        return capsys.readouterr().err

    yield write
    vars(logs._lines).clear()
    vars(logs._lines).update(before)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("evil", EVIL)
def test_no_value_leaves_its_field(log: Any, form: str, evil: str) -> None:
    latin = evil.encode("latin-1", "replace").decode("latin-1")
    headers = ("HTTP_USER_AGENT", "HTTP_X_REQUEST_ID", "HTTP_X_FORWARDED_FOR", "HTTP_X_CLOUD_TRACE_CONTEXT")
    environ = {**dict.fromkeys(headers, latin), "PATH_INFO": f"/v2/{latin}", "REQUEST_METHOD": latin}
    written = log(form, principal=evil, SERVER_PROTOCOL=latin, **environ)

    assert written.endswith("\n")
    line = written[:-1]
    assert line.isprintable()
    assert line.isascii()
    assert len(line) < 6000
    if form == "text":
        # Time in two words, ten fields of one word, and the user agent.
        assert re.fullmatch(r'\S+ \S+( [^ "\\]+){10} "[^"\\]*"', line)
    else:
        told = json.loads(line)
        assert told.keys() == {"severity", "time", "httpRequest", "principal", "request_id", "sent_id", "trace"}
        assert told["severity"] == "INFO"


SENT = {"X_CLOUD_TRACE_CONTEXT": f"{TRACE}/123;o=1", "TRACEPARENT": f"00-{TRACE}-{'a' * 16}-01"}


@pytest.mark.parametrize("header", SENT)
def test_the_trace_is_cloud_loggings_where_the_project_is_known(log: Any, header: str) -> None:
    environ = {f"HTTP_{header}": SENT[header]}

    told = json.loads(log("json", "some-project", **environ))
    assert told["logging.googleapis.com/trace"] == f"projects/some-project/traces/{TRACE}"
    assert told["trace"] == TRACE
    assert "logging.googleapis.com/trace" not in json.loads(log("json", **environ))


@pytest.mark.parametrize(
    "value", ["", "0" * 32, "x" * 32, TRACE[1:], TRACE.upper(), f"00-{'0' * 32}-{'a' * 16}-01", f"{TRACE}1", "a" * 5000]
)
def test_what_is_no_trace_is_none(log: Any, value: str) -> None:
    told = json.loads(log("json", "some-project", HTTP_X_CLOUD_TRACE_CONTEXT=value, HTTP_TRACEPARENT=value))

    assert told["trace"] == "-"
    assert "logging.googleapis.com/trace" not in told
