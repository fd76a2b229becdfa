"""`lading ls` and `lading show` say who signed an image, over HTTP as on the stores."""

from collections.abc import Callable

import pytest

from lading import cli
from lading.registry.registry import Registry
from tests.commands.tables import json_rows, table
from tests.support.registry_pushes import push_image
from tests.support.signatures import require_signatures, sign

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]


def test_signers_are_shown(registry: Registry, run: Run, both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    image = push_image(registry, "team/app", "v1")
    push_image(registry, "team/app", "v2")
    push_image(registry, "free/app", "v1")
    require_signatures(registry.metadata)
    signed = sign(registry, image)

    assert [row["SIGNED"] for row in table(run("ls team/app"))] == ["release", "unverified"]
    assert [row["SIGNED"] for row in table(run("ls free/app"))] == ["-"]
    assert cli.main(["show", "team/app:v1"]) == 0
    printed = capsys.readouterr().out
    assert "by release" in printed
    assert signed.digest[:19] in printed
    (shown,) = json_rows(run("show team/app:v1 --json"))
    assert shown["signed"] == {"state": "signed", "signers": ["release"]}
    (row,) = shown["signatures"]
    assert (row["signer"], row["digest"], row["expires"]) == ("release", signed.digest, None)
    for line in ("ls team/app --json", "ls team/app", "show team/app:v1", "show team/app:v1 --json"):
        on_stores, over_http = both(line)
        assert on_stores == over_http
