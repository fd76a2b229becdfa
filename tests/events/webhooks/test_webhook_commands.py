"""`lading webhooks`: secrets are shown once, addresses are checked at once, changes are audited."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from lading import cli, logs
from lading.auth_composition import open_keys
from lading.commands import exit_status
from lading.registry.identity import identity_of
from lading.settings import load_settings
from lading_storage.records.events import Delivery
from tests.commands.tables import json_rows, table
from tests.events.webhooks.webhook_fixtures import Webhooks
from tests.support.webhook_receiver import Receiver

Run = Callable[..., str]
PATH_SECRET = "T0KEN-in-the-path"


@pytest.fixture
def lading(
    webhooks: Webhooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `lading webhooks WORDS` on the stores; returns what it prints, or its error where that is expected."""
    monkeypatch.setattr(logs, "start", lambda *_: None)
    monkeypatch.setenv("LADING_KEYS", (tmp_path / "keys.json").as_uri())
    monkeypatch.setenv("LADING_URL", "https://registry.example.com")
    monkeypatch.setenv("LADING_WEBHOOK_NETWORKS", "127.0.0.0/8")
    webhooks.key = open_keys(load_settings().keys).load().robots
    identity_of(webhooks.metadata)

    def run(*words: str, status: int = 0) -> str:
        assert cli.main(["webhooks", *words]) == status
        done = capsys.readouterr()
        assert (done.err == "") == (status == 0)
        return done.err if status else done.out

    return run


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "lading.audit"]


def changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The changes in the audit."""
    return [line.split("change=")[1].split()[0] for line in audit_lines(caplog)]


def test_a_webhook_from_its_addition_to_its_removal(
    lading: Run, webhooks: Webhooks, endpoint: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"{endpoint.url}/{PATH_SECRET}?token=secret"
    printed = lading("add", url, "--id", "one", "--types", "tag.*,image.deleted", "--repositories", "team/*")
    assert "webhook  one\nsecret   whsec_" in printed
    assert "events are sent unencrypted" in printed
    secret = printed.split("secret   ")[1].split()[0]

    (row,) = table(lading("list"))
    assert (row["ID"], row["TYPES"], row["REPOSITORIES"]) == ("one", "tag.*,image.deleted", "team/*")
    assert row["URL"].startswith("http://127.0.0.1:")
    assert row["URL"].endswith("/…")
    assert f" {url}\n" in lading("show", "one")

    assert "accepted test event" in lading("test", "one")
    (request,) = endpoint.received
    assert Verifier(secret).verify(request.body, dict(request.headers))["type"] == "dev.lading.webhook.test.v1"

    rotated = json_rows(lading("rotate", "one", "--json"))[0]["secret"]
    lading("test", "one")
    for each in (secret, rotated):
        Verifier(each).verify(endpoint.received[1].body, dict(endpoint.received[1].headers))

    assert lading("disable", "one") == ""
    assert table(lading("list"))[0]["DISABLED"] == "by command"
    assert lading("enable", "one") == ""
    lading("remove", "one")
    assert lading("list") == ""
    assert "there is no webhook one; `lading webhooks list` shows all" in lading("show", "one", status=1)

    audited = audit_lines(caplog)
    changed = ["added", "tested", "changed", "tested", "changed", "changed", "removed"]
    assert changes(caplog) == [f"webhook-{each}" for each in changed]
    assert all(" reference=one " in line and " action=manage " in line for line in audited)
    for each in (secret, rotated, PATH_SECRET, "token=secret"):
        assert each not in caplog.text


def test_nothing_but_the_addition_and_a_rotation_shows_a_secret(
    lading: Run, webhooks: Webhooks, endpoint: Receiver
) -> None:
    secret = json.loads(lading("add", f"{endpoint.url}/{PATH_SECRET}", "--id", "one", "--json"))["secret"]
    endpoint.always(500)
    webhooks.clock.advance(minutes=1)
    webhooks.publish(webhooks.event(1))
    assert webhooks.deliver() == {"failed": 1}
    shown = [lading(*words, *more) for more in ([], ["--json"]) for words in (["list"], ["show", "one"], ["dead"])]
    shown.append(lading("test", "one", status=1))
    assert "whsec_" not in "".join(shown)
    assert secret.removeprefix("whsec_") not in "".join(shown)
    assert webhooks.admin.get("one").secrets[0] not in "".join(shown)
    assert PATH_SECRET not in lading("list") + lading("list", "--json")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://169.254.169.254/latest", "169.254.169.254, which is no address of the public internet"),
        ("http://10.0.0.1/", "the setting webhook-networks"),
        ("https://user:hidden@example.com/", "without user, password and fragment"),
        ("http://[::1]/", "::1, which is no address of the public internet"),
        ("http://2130706433/", "2130706433 is no IPv4 address"),
    ],
)
def test_an_address_is_checked_at_once(lading: Run, webhooks: Webhooks, url: str, message: str) -> None:
    error = lading("add", url, status=1)
    assert message in error
    assert "hidden" not in error
    assert webhooks.admin.all() == []


def test_a_name_that_cannot_be_resolved_is_added_with_a_note(
    lading: Run, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(host: str, port: int) -> object:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("lading.addresses.resolve_name", fail)
    printed = lading("add", "https://hook.example/")
    assert "hook.example cannot be resolved: Name or service not known; deliveries are retried for a day" in printed
    (webhook,) = webhooks.admin.all()
    assert f"`lading webhooks test {webhook.id}` sends a test event" in printed


def test_dead_letters_are_listed_and_retried(
    lading: Run, webhooks: Webhooks, endpoint: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lading("add", endpoint.url, "--id", "one")
    webhooks.clock.advance(minutes=1)
    endpoint.always(410)
    webhooks.publish(webhooks.event(1), webhooks.event(2))
    webhooks.deliver()
    first, second = table(lading("dead", "one", "--wide"))
    assert {first["EVENT"], second["EVENT"]} == {webhooks.event(1).name, webhooks.event(2).name}
    assert first["ERROR"] == "the endpoint responded with status 410"
    assert len(json_rows(lading("dead", "--json"))) == 2
    assert len(json_rows(lading("dead", "--json", "--limit", "1"))) == 1
    assert "2 dead letters" in lading("show", "one")
    assert "there is no webhook two" in lading("dead", "two", status=1)

    assert "`lading webhooks enable one`" in lading("retry", "one", status=1)
    lading("enable", "one")
    assert lading("retry", "one", "--event", first["EVENT"]).startswith("1 dead letter of webhook one")
    assert "has no dead letter of event nothing" in lading("retry", "one", "--event", "nothing", status=1)
    assert lading("retry", "one").startswith("1 dead letter ")
    assert lading("retry", "one").startswith("0 dead letters ")
    assert changes(caplog) == ["webhook-added", "webhook-changed", *["webhook-retried"] * 2]
    endpoint.always(204)
    webhooks.clock.advance(seconds=1)
    assert webhooks.deliver() == {"delivered": 2}


def test_a_removal_with_deliveries_is_confirmed(lading: Run, webhooks: Webhooks, endpoint: Receiver) -> None:
    lading("add", endpoint.url, "--id", "one")
    webhooks.clock.advance(minutes=1)
    webhooks.publish(webhooks.event(1))
    error = lading("remove", "one", status=exit_status.USAGE)
    assert "Remove webhook one and 1 event that it has not accepted?" in error
    assert webhooks.count(Delivery) == 1
    lading("remove", "one", "--yes")
    assert webhooks.count(Delivery) == 0
    assert webhooks.admin.all() == []


def test_a_test_event_that_is_not_accepted_is_a_failure(
    lading: Run, endpoint: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lading("add", endpoint.url, "--id", "one")
    endpoint.always(302, {"Location": "http://127.0.0.1/"})
    assert "status 302, and redirects are not followed" in lading("test", "one", status=1)
    assert changes(caplog) == ["webhook-added", "webhook-tested"]


def test_a_url_that_is_a_secret_is_read_from_standard_input(
    lading: Run, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments can be read by other users of the machine."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"http://127.0.0.1:8080/{PATH_SECRET}\n"))
    lading("add", "-", "--id", "one")
    assert webhooks.admin.get("one").url == f"http://127.0.0.1:8080/{PATH_SECRET}"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "a URL is http(s)://HOST" in lading("add", "-", "--id", "two", status=1)
