"""Reading what commands print."""

import json
import re
from typing import Any


def table(printed: str) -> list[dict[str, str]]:
    """Return the rows of a table, each by the headers of its columns."""
    header, *lines = [re.split(r" {2,}", line.strip()) for line in printed.splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def json_rows(printed: str) -> list[dict[str, Any]]:
    """Return the rows that a command printed with `--json`."""
    return [json.loads(line) for line in printed.splitlines()]
