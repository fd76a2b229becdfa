"""The codes of errors: those of the specification's table, and docs/errors.md lists each with its statuses."""

import re
from pathlib import Path

from lading.registry import errors
from lading.registry.errors import ErrorDescriptor

ROWS = [row for row in vars(errors).values() if isinstance(row, ErrorDescriptor)]
TABLE = frozenset(
    {
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    }
)
LEGACY = "TAG_INVALID"
"""Named by the specification as one that clients may meet."""


def test_a_client_error_has_a_code_of_the_specification() -> None:
    assert {row.code for row in ROWS if row.status < 500} <= TABLE | {LEGACY}


def test_a_code_is_letters_and_underscores() -> None:
    assert [row for row in ROWS if not re.fullmatch(r"[A-Z_]+", row.code)] == []


def test_the_documentation_lists_each_code_with_its_statuses() -> None:
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    listed = {
        (code, int(status))
        for code, statuses in re.findall(
            r"^\| `([A-Z_]+)` \| ([0-9, ]+) \| (?:code-\d+|5xx|legacy) \|", text, re.MULTILINE
        )
        for status in statuses.split(",")
    }
    assert listed == {(row.code, row.status) for row in ROWS}
