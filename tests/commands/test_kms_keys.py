"""Keys of Google's KMS in a file of policies: commands fetch them, once, and a registry never does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.auth.exceptions import DefaultCredentialsError
from requests import Session

from lading import cli
from lading.attester import google_api
from lading.attester.google_api import GoogleApi
from lading.commands import kms_keys
from lading.commands.kms_keys import public_key
from lading.policies.field_kinds import PolicyError
from lading.policies_setting import policies_text
from lading.registry.registry import Registry
from lading.settings import SettingsError, load_settings
from tests.support.auth_fixtures import iam, world
from tests.support.binary_authorization import KEY, KEY_VERSION, MEMBER, add_attestor, signing_key
from tests.support.discovery import faults
from tests.support.fake_iam_world import FakeIamWorld

__all__ = ["iam", "world"]

VIEW: Final = "cloudkms.cryptoKeyVersions.viewPublicKey"
URI: Final = f"gcpkms://{KEY_VERSION}"
PEM: Final = signing_key("1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

POLICIES: Final = f"""
[[policies]]
name = "prod"
repositories = ["prod/*"]
signatures.keys = [{{name = "release", file = "{URI}"}}]
"""


@pytest.fixture
def kms(world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch) -> FakeIamWorld:
    """Google, where the user of this machine may view the key."""
    token = add_attestor(world)
    world.fields["cryptoKeys"][KEY]["bindings"][MEMBER].append(VIEW)
    world.save()

    def session() -> Session:
        session = Session()
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    monkeypatch.setattr(google_api, "_own_session", session)
    monkeypatch.setenv("LADING_IAM_EMULATOR_HOST", world.iam.url)
    world.requests()
    return world


def test_a_file_that_names_a_key_is_checked_and_applied_with_its_pem(
    registry: Registry, kms: FakeIamWorld, run: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policies, rules = tmp_path / "policies.toml", tmp_path / "rules.toml"
    policies.write_text(POLICIES)
    rules.write_text('[rules]\npolicies = "policies.toml"\n')

    assert cli.main(["policy", "check", str(policies), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    run(f"rules apply {rules}")

    assert checked["policy"]["signatures"]["keys"] == [{"name": "release", "pem": PEM}]
    stored = registry.rules.read_all().registry
    assert stored is not None
    assert json.loads(stored.policies or "")["policies"][0]["signatures"]["keys"] == [{"name": "release", "pem": PEM}]
    paths = {each.split()[1].partition("?")[0] for each in kms.requests() if "cryptoKeys" in each}
    assert paths == {f"/v1/{KEY_VERSION}/publicKey"}
    assert faults("cloudkms.v1", "GET", f"v1/{KEY_VERSION}/publicKey", {}, None) == []


def test_a_registry_fetches_none(kms: FakeIamWorld, tmp_path: Path) -> None:
    file = tmp_path / "policies.toml"
    file.write_text(POLICIES)

    with pytest.raises(SettingsError, match="a registry does not fetch: use lading rules apply --registry"):
        policies_text(load_settings({"LADING_POLICIES": str(file), "LADING_DATA": str(tmp_path)}))
    assert not any("cryptoKeys" in each for each in kms.requests())


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"gcpkms://{KEY}", "name one, as in"),
        ("gcpkms://projects/p", "no key of KMS"),
        (f"gcpkms://{KEY}/cryptoKeyVersions/1/../2", "no key of KMS"),
        (f"gcpkms://{KEY}?x/cryptoKeyVersions/1", "no key of KMS"),
        (f"gcpkms://{KEY}/cryptoKeyVersions/7", "status 404"),
        (f"gcpkms://{KEY}s/cryptoKeyVersions/1", f"it needs {VIEW} on {KEY}s"),
    ],
)
def test_what_is_no_key_is_refused(kms: FakeIamWorld, uri: str, reason: str) -> None:
    with pytest.raises(PolicyError) as refused:
        public_key(uri)
    assert reason in str(refused.value)
    assert public_key(f"gcpkms://{KEY}/versions/1") == PEM, "as cosign has it, too"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pem": PEM.replace("A", "B", 1)}, "not received as it was sent"),
        ({"pemCrc32c": "1"}, "not received as it was sent"),
        ({"name": f"{KEY}/cryptoKeyVersions/2"}, "not received as it was sent"),
        ({"algorithm": "RSA_DECRYPT_OAEP_2048_SHA256"}, "signs nothing"),
    ],
)
def test_a_response_that_is_not_the_key_is_refused(
    kms: FakeIamWorld, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    request = GoogleApi.request
    monkeypatch.setattr(GoogleApi, "request", lambda *arguments: {**request(*arguments), **change})
    with pytest.raises(PolicyError, match=reason):
        public_key(URI)


def test_without_the_packages_it_says_which_extra_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("google.auth")

    monkeypatch.setattr(kms_keys, "_fetched", missing)
    with pytest.raises(PolicyError, match="extra cloud"):
        public_key(URI)


def test_who_has_no_credentials_is_told_so_at_once(kms: FakeIamWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def session() -> Session:
        opened.append(1)
        raise DefaultCredentialsError

    monkeypatch.setattr(google_api, "_own_session", session)

    with pytest.raises(PolicyError, match="there are no credentials of Google"):
        public_key(URI)

    assert opened == [1]
