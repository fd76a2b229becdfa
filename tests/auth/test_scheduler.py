"""Who may call the function `collect`: the scheduler's account alone."""

import pytest

from lading.auth.google import scheduler
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.registry.errors import RegistryError
from tests.support.fake_iam_world import URL, FakeIamWorld, id_token, publish_certificates

ACCOUNT = "scheduler@some-project.iam.gserviceaccount.com"


@pytest.fixture
def id_tokens(world: FakeIamWorld) -> IdTokens:
    publish_certificates(world)
    return IdTokens(GoogleClient(), URL)


def refused(authorization: str, account: str, id_tokens: IdTokens) -> int:
    with pytest.raises(RegistryError) as error:
        scheduler.check(authorization, account, id_tokens)
    return error.value.descriptor.status


def test_outside_of_the_platform_the_token_is_verified(id_tokens: IdTokens) -> None:
    scheduler.check(f"Bearer {id_token(email=ACCOUNT)}", ACCOUNT, id_tokens)

    assert refused(f"Bearer {id_token(email='other@example.com')}", ACCOUNT, id_tokens) == 403
    assert refused(f"Bearer {id_token(email=ACCOUNT)}", "", id_tokens) == 403
    assert refused(f"Bearer {id_token(email=ACCOUNT, aud='https://other.example')}", ACCOUNT, id_tokens) == 401
    header, payload, _ = id_token(email=ACCOUNT).split(".")
    for authorization in ("", "Basic YTpi", "Bearer x", f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"):
        assert refused(authorization, ACCOUNT, id_tokens) == 401


def test_on_the_platform_the_name_is_read(id_tokens: IdTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "collect")
    header, payload, _ = id_token(email=ACCOUNT).split(".")
    bare = f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"

    scheduler.check(bare, ACCOUNT, id_tokens)

    assert refused(bare, "other@example.com", id_tokens) == 403
    assert refused(bare, "", id_tokens) == 403
