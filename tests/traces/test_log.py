"""The lines of a traced request have the ids that are exported, in both formats."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lading_storage.digests import digest_of
from tests.support import images
from tests.support.otlp_collector import CollectedSpan, Collector
from tests.traces.traced_registry import serving_traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def _use(folder: Path, collector: Collector, environment: dict[str, str], headers: dict[str, str]) -> list[str]:
    """Push a blob, lose it, read it; return the log's lines about that."""
    with serving_traces(folder, collector, environment) as server:
        layer = images.blob()
        digest = digest_of(layer)
        path = f"/v2/team/app/blobs/uploads/?digest={digest}"
        assert server.request("POST", path, layer, headers)[0].status == 201
        for file in (folder / "data" / "blobs").rglob("*"):
            if file.is_file() and file.read_bytes() == layer:
                file.unlink()
        assert server.request("GET", f"/v2/team/app/blobs/{digest}", None, headers)[0].status >= 500
    collector.wait_for(lambda: collector.named("end-2"))
    return (folder / "log").read_text().splitlines()


def _span(collector: Collector, name: str) -> CollectedSpan:
    (span,) = collector.named(name)
    return span


@pytest.mark.parametrize("headers", [{}, HEADERS], ids=["without a header", "with a parent"])
def test_lines_for_cloud_logging_have_the_ids_of_the_span(
    tmp_path: Path, collector: Collector, headers: dict[str, str]
) -> None:
    environment = {"LADING_LOG": "json", "GOOGLE_CLOUD_PROJECT": "some-project"}
    lines = [json.loads(line) for line in _use(tmp_path, collector, environment, headers) if line.startswith("{")]
    push, pull = _span(collector, "end-4a end-4b end-11"), _span(collector, "end-2")

    def ids(line: dict[str, Any]) -> list[Any]:
        return [line.get(f"logging.googleapis.com/{name}") for name in ("trace", "spanId", "trace_sampled")]

    access = {line["httpRequest"]["requestMethod"]: line for line in lines if "httpRequest" in line}
    (audited,) = [line for line in lines if "audit" in line]
    (failed,) = [line for line in lines if "exception" in line]
    for line, span in ((access["POST"], push), (audited, push), (access["GET"], pull), (failed, pull)):
        assert ids(line) == [f"projects/some-project/traces/{span.trace}", span.id, True], line
    assert (access["POST"]["trace"], audited["audit"]["trace"]) == (push.trace, push.trace)
    assert access["POST"]["request_id"] == push.attributes["lading.request_id"]
    if headers:
        assert {push.trace, pull.trace} == {TRACE}
        assert {push.parent, pull.parent} == {SPAN}
    else:
        assert push.trace != pull.trace


def test_lines_of_text_have_the_id_of_the_trace(tmp_path: Path, collector: Collector) -> None:
    lines = _use(tmp_path, collector, {}, {})
    push, pull = _span(collector, "end-4a end-4b end-11"), _span(collector, "end-2")

    (audited,) = [line for line in lines if " audit outcome=" in line]
    assert re.findall("trace=(\\S+)", audited) == [push.trace]
    (failed,) = [line for line in lines if "a store failed" in line or "a defect" in line]
    assert failed.endswith(f" trace={pull.trace}")
    access = {line.split()[2]: line.split() for line in lines if " /v2/" in line and "audit" not in line}
    assert push.trace in access["POST"]
    assert pull.trace in access["GET"]


def test_lines_of_requests_that_are_not_sampled_have_what_the_client_sent(tmp_path: Path, collector: Collector) -> None:
    environment = {"LADING_LOG": "json", "GOOGLE_CLOUD_PROJECT": "p", "OTEL_TRACES_SAMPLER": "always_off"}
    with serving_traces(tmp_path, collector, environment) as server:
        server.request("GET", "/v2/", headers=HEADERS)
        server.request("GET", "/v2/?none")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "httpRequest" in line]
    assert [line["trace"] for line in lines[-2:]] == [TRACE, "-"]
    assert [line.get("logging.googleapis.com/trace") for line in lines[-2:]] == [f"projects/p/traces/{TRACE}", None]
    assert not any("spanId" in name for line in lines for name in line)
    assert collector.spans == []
