"""The audit lines that a request has written."""

import json
from typing import Any

import pytest

from lading.logs import JsonLines


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The lines of the audit, as Cloud Logging reads them; none is left afterwards."""
    lines = [json.loads(JsonLines().format(each)) for each in caplog.records if each.name == "lading.audit"]
    caplog.clear()
    return lines
