"""`lading why` and `lading policy break-glass`, on the stores and over HTTP."""

from collections.abc import Callable

import pytest

from lading import cli
from lading.registry.registry import Registry
from tests.commands.tables import json_rows
from tests.support.management_server import ManagementServer
from tests.support.policies import REPOSITORY, policy, refused_pull, set_policies, signed_by
from tests.support.registry_pushes import push_image
from tests.support.signatures import FORGER, sign

Run = Callable[..., str]


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
    sign(registry, image)
    status, text = why(f"{REPOSITORY}:v1", "--registry", remote.url)
    assert (status, "is signed by key0" in text) == (0, True)


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
