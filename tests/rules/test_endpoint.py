"""The rules over HTTP, and the right to manage them."""

import json
from pathlib import Path
from typing import Any, Final

import bcrypt
import pytest

from lading import cli, settings
from lading.app import App
from lading.auth.scopes import parse
from lading.auth_composition import open_authenticator
from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.app_client import Client, Response
from tests.support.fake_iam_world import BUCKET, FakeIamWorld, restricted_app, token_as_basic
from tests.support.registry_pushes import push_image
from tests.support.server_process import basic, user_environment

GRANTS: Final = "root * manage\nlead team/* manage\nadmin * pull,push,delete\nodd team/app manage\n"
RULES: Final = {"rules": {"immutable": ["*:v*"], "undelete": "30d"}, "namespaces": {"team": {"undelete": "60d"}}}

Guarded = tuple[Registry, Client]


@pytest.fixture
def guarded(stores: Stores, tmp_path: Path) -> Guarded:
    """A registry with the users of GRANTS."""
    variables, _ = user_environment(tmp_path / "access")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    users = {line.split()[0] for line in GRANTS.splitlines()}
    Path(variables["LADING_USERS"]).write_text("".join(f"{name}:{hashed}\n" for name in users))
    Path(variables["LADING_GRANTS"]).write_text(GRANTS)
    read = settings.load_settings({"LADING_DATA": str(tmp_path), **variables})
    registry = Registry(stores.blobs, stores.metadata)
    return registry, Client(App(registry, read, open_authenticator(read, stores.metadata)))


def request(client: Client, method: str, path: str, user: str = "", body: Any = None) -> Response:
    headers = {"Authorization": basic(user, "secret")} if user else {}
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.request(method, f"/v2/_lading/{path}", content, headers)


def test_rules_are_set_and_read(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    registry, client = guarded
    caplog.set_level("INFO")
    dry = request(client, "PUT", "rules?dry-run=true", "root", RULES)
    assert (dry.status, len(dry.json["changes"])) == (200, 3)
    assert registry.rules.read_all().values() == []

    changed = request(client, "PUT", "rules", "root", RULES)

    assert changed.status == 200, changed.body
    assert {(each["scope"], each["rule"], each["loosens"]) for each in changed.json["changes"]} == {
        (None, "immutable", False),
        (None, "undelete", False),
        ("team", "undelete", False),
    }
    read = request(client, "GET", "rules", "root").json
    assert {name: read[name] for name in RULES} == RULES
    assert (read["by"], read["number"]) == ("root", 1)
    assert request(client, "PUT", "rules", "root", {name: read[name] for name in RULES}).json["changes"] == []
    effective = request(client, "GET", "team/app/rules", "admin").json
    assert (effective["undelete"], effective["rules"]["immutable"]) == ("60d", ["*:v*"])
    push_image(registry, "team/app", "v1")
    assert (
        client.request("DELETE", "/v2/team/app/manifests/v1", b"", {"Authorization": basic("admin", "secret")}).status
        == 409
    )
    lines = [record.message for record in caplog.records if "change=rules-changed" in record.message]
    assert len(lines) == 1
    assert "principal=root action=manage" in lines[0]
    assert "rules changed by root: undelete: not set -> 30d" in caplog.messages


@pytest.mark.parametrize(
    ("user", "status_of_registry", "status_of_team"),
    [("root", 200, 200), ("lead", 403, 200), ("admin", 403, 403), ("odd", 403, 403), ("", 401, 401)],
)
def test_rules_want_the_right_to_manage(
    guarded: Guarded, user: str, status_of_registry: int, status_of_team: int
) -> None:
    registry, client = guarded
    bodies: dict[str, Any] = {"GET": None, "PUT": {"rules": {}}}
    for method, body in bodies.items():
        answer = request(client, method, "rules", user, body)
        assert answer.status == status_of_registry
        assert ("Basic" in answer.headers.get("WWW-Authenticate", "")) == (answer.status == 401)
    bodies["PUT"] = {"undelete": "60d"}
    for method, body in bodies.items():
        assert request(client, method, "rules/team/", user, body).status == status_of_team
    assert (registry.rules.read_all().namespaces.keys() == {"team"}) == (status_of_team == 200)
    if user == "lead":
        assert request(client, "PUT", "rules/other/", user, {"undelete": "60d"}).status == 403
        refused = request(client, "PUT", "rules/team/", user, {"undelete": "1d"})
        assert (refused.status, refused.code) == (400, "UNSUPPORTED")
        assert "shorter than the registry's" in refused.body.decode()


def test_a_token_of_the_registry_does_not_manage(guarded: Guarded) -> None:
    _, client = guarded
    issued = client.request(
        "GET", "/v2/token?service=x&scope=repository:team/app:*", b"", {"Authorization": basic("root", "secret")}
    )
    headers = {"Authorization": f"Bearer {issued.json['token']}"}
    assert client.request("PUT", "/v2/_lading/rules", b"{}", headers).status == 401
    assert parse(["repository:team/app:manage"]) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"[" * 20_000, "not a JSON object"),
        ({}, "no rules"),
        ({"rules": []}, "rules is a section"),
        ({"rules": {"immutable": 3}}, "REPOSITORY:TAG"),
        ({"rules": {"cleanup": "/etc/passwd"}}, "array of policies"),
        ({"rules": {"undelete": {"a": 1}}}, "neither a string"),
        ({"rules": {"gates": 1}}, "there is no gates"),
        ({"rules": {"undelete": "60d"}, "server": {"threads": 3}}, "more than rules and namespaces"),
        ({"namespaces": {"a/b": {"undelete": "60d"}}}, "first segment"),
        (b" " * 300_000, "bytes"),
    ],
)
def test_wrong_rules_are_refused(guarded: Guarded, body: Any, reason: str) -> None:
    registry, client = guarded
    answer = request(client, "PUT", "rules", "root", body)
    assert (answer.status, answer.code) == (400, "UNSUPPORTED"), answer.body
    assert reason in answer.body.decode()
    assert registry.rules.read_all().values() == []


@pytest.mark.parametrize("query", ["dry-run=True", "dry-run=1", "dry_run=true", "force=yes"])
def test_a_misspelled_dry_run_changes_nothing(guarded: Guarded, query: str) -> None:
    registry, client = guarded
    answer = request(client, "PUT", f"rules?{query}", "root", RULES)
    assert (answer.status, answer.code) == (400, "UNSUPPORTED"), answer.body
    assert "neither dry-run=true nor force=true" in answer.body.decode()
    assert registry.rules.read_all().values() == []
    assert request(client, "PUT", "rules?dry-run=false&force=", "root", RULES).status == 200


@pytest.mark.parametrize(
    ("folder", "permission", "registry_wide", "of_team"),
    [
        ("", "storage.buckets.update", 200, 200),
        ("team/", "storage.managedFolders.setIamPolicy", 403, 200),
        ("team/", "storage.objects.delete", 403, 403),
        ("other/", "storage.managedFolders.setIamPolicy", 403, 403),
    ],
)
def test_iam_decides_by_the_policy_bucket_and_its_folders(  # noqa: PLR0917
    world: FakeIamWorld,
    local_stores: Stores,
    tmp_path: Path,
    folder: str,
    permission: str,
    registry_wide: int,
    of_team: int,
) -> None:
    world.folder("team/", member="user:no@example.com")
    world.folder(folder, permission, member="user:alice@example.com")
    app = restricted_app(local_stores, {"LADING_ACCESS": f"gs://{BUCKET}"}, tmp_path)
    headers = {"Authorization": token_as_basic(world.token("alice"))}

    assert app.client.request("GET", "/v2/_lading/rules", b"", headers).status == registry_wide
    assert app.client.request("GET", "/v2/_lading/rules/team/", b"", headers).status == of_team


def test_access_to_rules_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, _ = user_environment(tmp_path / "access")
    Path(variables["LADING_GRANTS"]).write_text("admin team/* manage\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["explain-access", "--as", "admin", "team", "manage"]) == 0
    assert cli.main(["explain-access", "--as", "admin", "*", "manage"]) == 1
    assert "no grant for admin allows manage on *" in capsys.readouterr().out
