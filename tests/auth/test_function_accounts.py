"""Who may call the endpoints of functions: the account of a function alone, and nothing else by it."""

import base64

import pytest

from lading.auth.access import OF_FUNCTIONS, Action
from lading.auth.google.client import GoogleClient
from lading.auth.google.function_account import ATTESTER, SCANNER, FunctionAccount, FunctionRole
from lading.auth.google.id_tokens import IdTokens
from lading.registry.errors import RegistryError
from tests.support.fake_iam_world import URL, FakeIamWorld, id_token, publish_certificates

ACCOUNT = "lading-scan@some-project.iam.gserviceaccount.com"


@pytest.fixture
def id_tokens(world: FakeIamWorld) -> IdTokens:
    publish_certificates(world)
    return IdTokens(GoogleClient(), URL)


def basic(secret: str, user: str = "scanner") -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def refused(account: FunctionAccount, authorization: str) -> int:
    with pytest.raises(RegistryError) as error:
        account.authenticate(authorization)
    return error.value.descriptor.status


def test_the_scanner_authenticates_by_an_id_token(id_tokens: IdTokens) -> None:
    account = FunctionAccount(SCANNER, ACCOUNT, id_tokens)

    assert account.authenticate(basic(id_token(email=ACCOUNT))).principal == ACCOUNT
    assert account.authenticate(f"Bearer {id_token(email=ACCOUNT)}").principal == ACCOUNT


def test_other_accounts_and_tokens_are_refused(id_tokens: IdTokens) -> None:
    account = FunctionAccount(SCANNER, ACCOUNT, id_tokens)

    assert refused(account, basic(id_token(email="other@example.com"))) == 403
    assert refused(account, basic(id_token(email=ACCOUNT, aud="https://other.example"))) == 401
    assert refused(account, basic(id_token(email=ACCOUNT), user="other")) == 401
    assert refused(account, basic(id_token(email=ACCOUNT, email_verified=False))) == 401
    for authorization in ("", "Basic YTpi", "Bearer x", basic("")):
        assert refused(account, authorization) == 401


def test_without_a_scanner_all_are_refused(id_tokens: IdTokens) -> None:
    account = FunctionAccount(SCANNER, "", id_tokens)

    assert refused(account, basic(id_token(email=ACCOUNT))) == 403
    assert refused(account, basic(id_token(email=""))) == 403


def test_the_signature_is_verified_on_cloud_run_as_well(id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike a job's function, the registry is open to callers whose tokens the platform has not verified."""
    monkeypatch.setenv("K_SERVICE", "lading")
    account = FunctionAccount(SCANNER, ACCOUNT, id_tokens)
    header, payload, _ = id_token(email=ACCOUNT).split(".")

    assert refused(account, f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE") == 401
    assert refused(account, basic(f"{header}.{payload}.")) == 401


@pytest.mark.parametrize("role", [SCANNER, ATTESTER])
def test_a_function_may_do_only_one_thing(id_tokens: IdTokens, role: FunctionRole) -> None:
    account = FunctionAccount(role, ACCOUNT, id_tokens)
    caller = account.authenticate(basic(id_token(email=ACCOUNT), role.user))

    assert [action for action in Action if caller.decide(action, "team/app").allowed] == [role.action]
    assert caller.readable_patterns() == ()
    other = next(each.user for each in (SCANNER, ATTESTER) if each is not role)
    assert refused(account, basic(id_token(email=ACCOUNT), other)) == 401


def test_each_action_of_functions_has_a_role() -> None:
    assert {each.action for each in (SCANNER, ATTESTER)} == OF_FUNCTIONS
