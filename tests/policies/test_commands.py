"""`lading policy check`, `schema` and `show`: what a file means, without a registry."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from lading import cli
from lading.policies.policy_schema import schema
from tests.policies.certificates import certificate
from tests.policies.examples import FULL, table


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_is_checked_without_a_registry(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.json").write_text(json.dumps([FULL, table(name="base", mode="audit", scan={"required": True})]))
    assert cli.main(["policy", "check", "p.json"]) == 0
    out = capsys.readouterr().out
    assert "unless: signed by release, other, a@example.com" in out
    assert "warning: policy base: it only reports, and refuses nothing" in out
    assert out.endswith("the file can be used: 2 policies\n")
    assert not Path("lading-data").exists()

    assert cli.main(["policy", "check", "p.json", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == ["base", "prod"]
    assert rows[1]["policy"] == FULL


def test_a_file_that_cannot_be_used_fails(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.toml").write_text("[[policies]]\nname = 'prod'\nrepositorys = ['prod/*']\n")
    assert cli.main(["policy", "check", "p.toml"]) == 1
    assert (
        "p.toml: policies[0] (prod) has no field 'repositorys'; did you mean repositories?" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("begin", "end", "status", "message"),
    [
        (-10, -1, 1, "the certificate ca expired at"),
        (1, 10, 1, "the certificate ca is not valid before"),
        (-10, 10, 0, "warning: policy prod: the certificate ca expires at"),
        (-10, 100, 0, "the file can be used: 1 policy"),
    ],
)
def test_a_certificate_is_valid(
    begin: int, end: int, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = certificate(timedelta(days=begin), timedelta(days=end))
    Path("ca.pem").write_text(pem)
    certificates = [{"name": "ca", "file": "ca.pem", "subject": "CN=signer"}]
    Path("p.json").write_text(json.dumps([table(signatures={"certificates": certificates}, exempt=["signer"])]))
    assert cli.main(["policy", "check", "p.json"]) == status
    captured = capsys.readouterr()
    assert message in captured.out + captured.err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policy", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()
