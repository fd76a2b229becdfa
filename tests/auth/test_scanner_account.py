"""Who may call the endpoints of the scanner: the account of LADING_SCANNER alone, and nothing else by it."""

import base64

import pytest

from lading.auth.access import Action
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.auth.google.scanner_account import ScannerAccount
from lading.registry.errors import RegistryError
from tests.support.fake_iam_world import URL, FakeIamWorld, id_token, publish_certificates

ACCOUNT = "lading-scan@some-project.iam.gserviceaccount.com"


@pytest.fixture
def id_tokens(world: FakeIamWorld) -> IdTokens:
    publish_certificates(world)
    return IdTokens(GoogleClient(), URL)


def basic(secret: str, user: str = "scanner") -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def refused(account: ScannerAccount, authorization: str) -> int:
    with pytest.raises(RegistryError) as error:
        account.authenticate(authorization)
    return error.value.descriptor.status


def test_the_scanner_authenticates_by_an_id_token(id_tokens: IdTokens) -> None:
    account = ScannerAccount(ACCOUNT, id_tokens)

    assert account.authenticate(basic(id_token(email=ACCOUNT))).principal == ACCOUNT
    assert account.authenticate(f"Bearer {id_token(email=ACCOUNT)}").principal == ACCOUNT


def test_other_accounts_and_tokens_are_refused(id_tokens: IdTokens) -> None:
    account = ScannerAccount(ACCOUNT, id_tokens)

    assert refused(account, basic(id_token(email="other@example.com"))) == 403
    assert refused(account, basic(id_token(email=ACCOUNT, aud="https://other.example"))) == 401
    assert refused(account, basic(id_token(email=ACCOUNT), user="other")) == 401
    assert refused(account, basic(id_token(email=ACCOUNT, email_verified=False))) == 401
    for authorization in ("", "Basic YTpi", "Bearer x", basic("")):
        assert refused(account, authorization) == 401


def test_without_a_scanner_all_are_refused(id_tokens: IdTokens) -> None:
    account = ScannerAccount("", id_tokens)

    assert refused(account, basic(id_token(email=ACCOUNT))) == 403
    assert refused(account, basic(id_token(email=""))) == 403


def test_the_signature_is_verified_on_cloud_run_as_well(id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike a job's function, the registry is open to callers whose tokens the platform has not verified."""
    monkeypatch.setenv("K_SERVICE", "lading")
    account = ScannerAccount(ACCOUNT, id_tokens)
    header, payload, _ = id_token(email=ACCOUNT).split(".")

    assert refused(account, f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE") == 401
    assert refused(account, basic(f"{header}.{payload}.")) == 401


def test_the_scanner_may_only_scan(id_tokens: IdTokens) -> None:
    caller = ScannerAccount(ACCOUNT, id_tokens).authenticate(basic(id_token(email=ACCOUNT)))

    assert [action for action in Action if caller.decide(action, "team/app").allowed] == [Action.SCAN]
    assert caller.readable_patterns() == ()
