"""Doctor at servers that are misconfigured, foreign, or no registry at all."""

from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from lading.jobs.doctor import host
from lading.jobs.doctor.checks import CheckState, Finding, run_checks
from lading.jobs.doctor.front import FrontChecks
from lading.jobs.doctor.host import Credentials, HostChecks
from tests.support.fake_cloud_services import SilentRequestHandler, serve_handler
from tests.support.function_commands import FRAMEWORK
from tests.support.server_process import run_lading, serving, user_environment

FRONT = ["version", "lengths", "large", "cut-off"]


def states(printed: str) -> dict[str, str]:
    """How each check ended, of what the command prints."""
    lines = [line.split() for line in printed.splitlines() if not line.startswith((" ", "STATE"))]
    return {name: state for state, name, *_ in lines}


def by_name(checks: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in run_checks(checks)}


class Misconfigured(SilentRequestHandler):
    """A registry with a clock that is wrong, which lets anonymous clients write, behind a front that takes 32 MiB."""

    def do_GET(self) -> None:  # noqa: N802
        challenge = f'Bearer realm="http://{self.headers["Host"]}/v2/token",service="any"'
        self.respond(401, b"", {"WWW-Authenticate": challenge})

    def do_POST(self) -> None:  # noqa: N802
        self.respond(202, b"")

    def do_PATCH(self) -> None:  # noqa: N802
        self.respond(413 if int(self.headers["Content-Length"]) > 32 << 20 else 401, b"")

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(1_700_000_000, usegmt=True)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        pytest.param((), CheckState.FAILED, id="granian passes X_Forwarded_For on as X-Forwarded-For"),
        pytest.param(FRAMEWORK, CheckState.OK, id="gunicorn drops it, as nginx does"),
    ],
)
def test_a_trusted_proxy_that_lets_a_client_forge_its_address(
    command: Sequence[str], state: CheckState, tmp_path: Path
) -> None:
    variables, _ = user_environment(tmp_path / "access")
    environment = {**variables, "LADING_DATA": str(tmp_path / "data")}
    command = ["env", "LADING_URL=http://127.0.0.1:{port}", *command] if command else ()
    with serving(environment, tmp_path / "log", command=command) as server:
        proxies = by_name(HostChecks(f"http://{server.host}", None, "a", hops=1).checks())["proxies"]
        direct = by_name(HostChecks(f"http://{server.host}", None, "a").checks())["proxies"]

    assert proxies.state is state
    assert "underscores" in proxies.detail
    assert ("DROP_HEADER" in proxies.remedy) == (state is CheckState.FAILED)
    assert direct.state is CheckState.SKIPPED


def test_a_clock_anonymous_access_and_a_front_that_are_wrong() -> None:
    with serve_handler(Misconfigured) as port:
        findings = by_name(HostChecks(f"http://127.0.0.1:{port}", None, "a").checks())

    assert findings["host"].state is CheckState.OK
    assert [name for name, each in findings.items() if each.state is CheckState.FAILED] == [
        "anonymous",
        "clock",
        "HTTP/2",
    ]
    assert "h2c" in findings["HTTP/2"].remedy


class ForeignServer(SilentRequestHandler):
    """Whatever it is, it is no registry: it answers as Cloud Run does where it asks for a token of its own."""

    def do_GET(self) -> None:  # noqa: N802
        self.respond(403, b"<html>")


def test_a_front_that_refuses_every_write_is_not_one_that_passes_on_underscores() -> None:
    class Wall(Misconfigured):
        def do_POST(self) -> None:  # noqa: N802
            self.respond(403, b"blocked")

    with serve_handler(Wall) as port:
        findings = by_name(HostChecks(f"http://127.0.0.1:{port}", None, "a", hops=1).checks())

    assert (findings["proxies"].state, findings["anonymous"].state) == (CheckState.OK, CheckState.FAILED)


def test_a_platform_that_refuses_every_request() -> None:
    with serve_handler(ForeignServer) as port:
        findings = by_name(HostChecks(f"http://127.0.0.1:{port}", Credentials("a", "b"), "a").checks())

    assert findings["host"].state is CheckState.FAILED
    assert "invoker_iam_disabled" in findings["host"].remedy


class Website(SilentRequestHandler):
    """Answers everything with the same page, as those do whose addresses are made by scripts."""

    def do_GET(self) -> None:  # noqa: N802
        self.body()
        self.respond(200, b"<html>")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815


class TokensByWebsite(Website):
    """Passes on nothing of a registry but its challenge."""

    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/v2/" and "Authorization" not in self.headers:
            challenge = f'Bearer realm="http://{self.headers["Host"]}/v2/token",service="any"'
            self.respond(401, b"", {"WWW-Authenticate": challenge})
        else:
            super().do_GET()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "today"


def test_a_website_is_no_registry(tmp_path: Path) -> None:
    with serve_handler(Website) as port:
        done = run_lading(["doctor", "--url", f"http://127.0.0.1:{port}", "--user", "a"], tmp_path, {}, stdin="b\n")

    found = states(done.stdout)
    assert (done.returncode, done.stderr) == (1, "lading: 1 of the checks failed\n")
    assert {name for name, state in found.items() if state != "skipped"} == {"host"}
    assert "responds 200, but is not a registry" in done.stdout


def test_answers_that_are_none_of_a_registry_fail_one_check_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "TIMEOUTS", (5, 1))  # its large body gets no response
    with serve_handler(TokensByWebsite) as port:
        url = f"http://127.0.0.1:{port}"
        checks = HostChecks(url, Credentials("a", "b"), "a")
        findings = by_name(checks.checks()) | by_name(FrontChecks(url, "a", checks).checks())

    assert {"token", "clock"} <= {name for name, each in findings.items() if each.state is CheckState.FAILED}
    assert {findings[name].state for name in FRONT} == {CheckState.SKIPPED}


def test_an_open_registry_without_versions_and_places_of_uploads_fails_these_checks() -> None:
    class Open(SilentRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.respond(200, b"[]", {"Docker-Distribution-API-Version": "registry/2.0"})

        def do_POST(self) -> None:  # noqa: N802
            self.respond(202, b"")

    with serve_handler(Open) as port:
        url = f"http://127.0.0.1:{port}"
        host = HostChecks(url, None, "a")
        findings = by_name([host.checks()[0], *FrontChecks(url, "a", host).checks()])

    assert findings.pop("host").state is CheckState.OK
    assert {each.state for each in findings.values()} == {CheckState.FAILED}
    assert "no JSON field version" in findings["version"].detail
    assert "has no Location" in findings["large"].detail
