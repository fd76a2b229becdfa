"""What an error is called in logs and on the command line: a sentence, whatever its detail is for programs."""

from pathlib import Path
from typing import Any

import pytest

from lading.http.responses import error_body
from lading.registry.errors import (
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_UNKNOWN,
    TAG_INVALID,
    UNKNOWN,
    ErrorDescriptor,
    RegistryError,
)
from tests.support.server_process import run_lading

SENTENCES: dict[str, tuple[ErrorDescriptor, Any]] = {
    "unknown error": (UNKNOWN, None),
    "manifest unknown to registry: tag nope": (MANIFEST_UNKNOWN, {"tag": "nope"}),
    "invalid tag: tag -x, malformed tag": (TAG_INVALID, {"tag": "-x", "reason": "malformed tag"}),
    "manifest unknown to registry: media type a/b, retry after 5": (
        MANIFEST_UNKNOWN,
        {"mediaType": "a/b", "retry_after": 5},
    ),
    "manifest references a manifest or blob unknown to registry: digest a, digest b": (
        MANIFEST_BLOB_UNKNOWN,
        [{"digest": "a"}, {"digest": "b"}],
    ),
    "invalid tag: tag 'x\\nforged'": (TAG_INVALID, {"tag": "x\nforged"}),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_an_error_is_a_sentence(sentence: str) -> None:
    row, detail = SENTENCES[sentence]
    error = RegistryError(row, detail)

    assert str(error) == sentence
    assert error_body(error)["errors"][0].get("detail") == detail


def test_the_command_line_says_it(tmp_path: Path) -> None:
    assert run_lading(["init"], tmp_path).returncode == 0

    done = run_lading(["undelete", "a:nope"], tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("lading: ")
    assert "{" not in done.stderr
    assert "tag nope" in done.stderr
