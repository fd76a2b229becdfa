"""`lading why` and `lading policy break-glass`, on the stores and over HTTP."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

import pytest

from lading import cli
from lading.registry.registry import Registry
from lading.registry.trust import exceptions
from lading.registry.trust.exceptions import Exceptions
from tests.commands.tables import json_rows
from tests.support import images
from tests.support.management_server import ManagementServer
from tests.support.policies import REPOSITORY, policy, refused_pull, set_policies, signed_by
from tests.support.registry_pushes import push_image, push_manifest
from tests.support.scan_results import finding, report_of, store_result
from tests.support.signatures import FORGER, sign

Run = Callable[..., str]
Both = Callable[[str], tuple[str, str]]


def test_why_says_what_decides_and_ends_with_it(
    registry: Registry, remote: ManagementServer, capsys: pytest.CaptureFixture[str]
) -> None:
    image = push_image(registry, REPOSITORY, "v1")
    free = push_image(registry, "free/app", "v1")
    sign(registry, image, FORGER)
    set_policies(registry, policy(exempt=["signer"], **signed_by()))

    def why(*words: str) -> tuple[int, str]:
        status = cli.main(["why", *words])
        done = capsys.readouterr()
        return status, done.out + done.err

    for where in ([], ["--registry", remote.url]):
        status, text = why(f"{REPOSITORY}:v1", *where)
        assert status == 1
        assert "it is not signed by key0" in text
        assert "1 signature does not count" in text
        assert why(f"{REPOSITORY}@{image.digest[:19]}", "--as", "signer", *where)[0] == 0
        assert "no policy names the repository" in why(f"free/app@{free.digest}", *where)[1]
        assert why(REPOSITORY, *where)[0] == 1
        assert (
            "signer is exempt, although it is not signed by key0"
            in why(f"{REPOSITORY}:v1", "--as", "signer", *where)[1]
        )
        assert image.digest in why(f"{REPOSITORY}:v1", "--wide", *where)[1]
    sign(registry, image)
    status, text = why(f"{REPOSITORY}:v1", "--registry", remote.url)
    assert (status, ": it is signed by key0" in text) == (0, True)


def test_why_says_which_index_vouches_for_an_image(registry: Registry, both: Both) -> None:
    image = push_image(registry, REPOSITORY, "v1")
    content = registry.manifests.content(registry.manifests.find(REPOSITORY, image.digest))
    index = push_manifest(registry, REPOSITORY, images.index([content]), "index")
    sign(registry, index)
    set_policies(registry, policy(**signed_by()))

    for reference in ("v1", "index"):
        for output in both(f"why {REPOSITORY}:{reference} --wide"):
            assert f"{image.digest}: its index {index.digest} is signed by key0" in output


def test_why_has_the_findings_and_when_it_was_scanned(registry: Registry, both: Both) -> None:
    registry.scans_images = True
    image = push_image(registry, REPOSITORY, "v1")
    set_policies(registry, policy(scan={"maximumFixableSeverity": "medium"}))
    common = {"severity": "high", "package": "openssl", "version": "3", "fixed": "4"}
    worst = json.dumps([{"id": f"CVE-2026-{number}", **common} for number in (1, 2)]).encode()
    report = report_of(image.digest, [finding("high", fixed="4")] * 2)
    store_result(registry, REPOSITORY, image.digest, report, worst=worst)

    for output in both(f"why {REPOSITORY}:v1"):
        assert output.startswith("1\n")
        assert "scan: 1 high (20" in output
        assert output.count("CVE-2026-2 (high) in openssl 3, fixed in 4") == 1


def test_what_a_policy_refuses_is_said_once_and_in_the_audit_log(
    registry: Registry, both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lading.audit")
    image = push_image(registry, REPOSITORY, "build")
    set_policies(registry, policy(tags=["v*"], **signed_by()))
    line = f"policy prod: it is not signed by key0; ask: lading why {REPOSITORY}@{image.digest}"

    for output in both(f"tag {REPOSITORY}:build v1"):
        assert output == f"1\n\nlading: {line}\n", "no credentials are at fault"
    (audited,) = [each for each in caplog.messages if "outcome=refused status=403" in each]
    assert f" reason={quote(line, safe='/@:;')} request=" in audited


def test_a_tag_that_a_policy_would_refuse_is_set_with_a_warning(
    registry: Registry, remote: ManagementServer, capsys: pytest.CaptureFixture[str]
) -> None:
    image = push_image(registry, REPOSITORY, "build")
    set_policies(registry, policy(tags=["v*"], **signed_by()) | {"mode": "audit"})
    line = f"policy prod: it is not signed by key0; ask: lading why {REPOSITORY}@{image.digest}"

    for tag, where in (("v1", []), ("v2", ["--registry", remote.url])):
        assert cli.main(["tag", f"{REPOSITORY}:build", tag, *where]) == 0
        assert capsys.readouterr().err == f"warning: {line}\n"


def test_an_exception_is_opened_and_ended_by_whom_a_policy_names(
    registry: Registry,
    remote: ManagementServer,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "lading.audit")
    push_image(registry, REPOSITORY, "v1")
    set_policies(registry, policy(breakGlass=["admin"], **signed_by()))
    words = f"policy break-glass {REPOSITORY}:v1 --registry {remote.url}"
    assert refused_pull(registry, "v1") != ""

    (opened,) = json_rows(run(f"{words} --reason outage --json"))
    assert opened["policies"] == ["prod"]
    (line,) = [each for each in caplog.messages if "change=exception-opened" in each]
    assert f"reason=until%20{opened['until'][:19]}Z:%20outage request=" in line
    assert refused_pull(registry, "v1") == ""
    run(f"{words} --end")
    assert refused_pull(registry, "v1") != ""

    for wrong in ([], ["--reason", "outage", "--for", "25h"]):
        assert cli.main([*words.split(), *wrong]) == 1
    set_policies(registry, policy(breakGlass=["other"], **signed_by()))
    assert cli.main([*words.split(), "--reason", "outage"]) == 1
    assert "breakGlass" in capsys.readouterr().err
    assert refused_pull(registry, "v1") != ""


def test_the_registrys_clock_says_when_an_exception_ends(
    registry: Registry, remote: ManagementServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's clock is three hours ahead of it."""
    push_image(registry, REPOSITORY, "v1")
    set_policies(registry, policy(breakGlass=["admin"], **signed_by()))
    earlier = registry._clock() - timedelta(hours=3)
    late = partial(Exceptions, clock=lambda _=None: earlier)
    monkeypatch.setattr(exceptions, "Exceptions", lambda metadata, _: late(metadata))
    words = f"policy break-glass {REPOSITORY}:v1 --registry {remote.url} --reason outage --json --for"

    (opened,) = json_rows(run(f"{words} 24h"))

    assert datetime.fromisoformat(opened["until"]) == earlier + timedelta(hours=24)
    assert refused_pull(registry, "v1") == ""
