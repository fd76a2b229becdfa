"""Google's ID tokens: whom they name, and what is no such token."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from lading.auth.google.client import GoogleClient, Reply
from lading.auth.google.id_tokens import ISSUERS, MAX_WAITING, IdTokens
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError
from tests.auth.concurrent_callers import TIMEOUT, run_concurrent_callers
from tests.support.auth_fixtures import Clock
from tests.support.fake_iam_world import (
    URL,
    FakeIamWorld,
    id_token,
    json_base64,
    pem,
    private_key,
    public_pem,
    publish_certificates,
)


@pytest.fixture
def known(world: FakeIamWorld) -> FakeIamWorld:
    publish_certificates(world)
    return world


def test_the_address_is_who_comes(known: FakeIamWorld) -> None:
    tokens = IdTokens(GoogleClient(), URL)

    assert tokens.email(id_token("alice@example.com")) == tokens.principal(id_token("alice@example.com"))
    assert tokens.principal(id_token("alice@example.com")) == "alice@example.com"


def unsigned() -> str:
    return ".".join([json_base64({"alg": "none", "kid": "google-1"}), id_token().split(".")[1], ""])


def by_secret() -> str:
    import base64
    import hmac

    body = f"{json_base64({'alg': 'HS256', 'kid': 'google-1'})}.{id_token().split('.')[1]}"
    mac = hmac.digest(public_pem(private_key(1)).encode(), body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def with_key_in_header() -> str:
    described: Any = jwt.algorithms.RSAAlgorithm.to_jwk(private_key(2).public_key(), as_dict=True)
    claims = jwt.decode(id_token(), options={"verify_signature": False})
    return jwt.encode(claims, private_key(2), "RS256", headers={"kid": "google-1", "jwk": described})


BAD: dict[str, Callable[[], str]] = {
    "for another registry": lambda: id_token(aud="https://other.example"),
    "for us without the scheme": lambda: id_token(aud="registry.example"),
    "of another issuer": lambda: id_token(iss="https://accounts.example"),
    "expired": lambda: id_token(iat=int(time.time()) - 9999, exp=int(time.time()) - 60),
    "issued tomorrow": lambda: id_token(iat=int(time.time()) + 86400),
    "of nobody": lambda: id_token(email=None, sub=None),
    "of a name instead of a number": lambda: id_token(email=None, sub="admin"),
    "by another key": lambda: id_token(key=private_key(2)),
    "by a key that nobody has published": lambda: id_token(kid="other"),
    "with its key in the header": with_key_in_header,
    "without a signature": unsigned,
    "by the public key as a secret": by_secret,
    "cut": lambda: id_token()[:-10],
    "no token": lambda: "x",
    "nothing": lambda: "",
    "a private key": lambda: pem(private_key(2)),
}

NAMELESS: dict[str, Callable[[], str]] = {
    "without an address": lambda: id_token(email=None),
    "with an address that nobody has verified": lambda: id_token(email_verified=False),
    "with a verification that is text": lambda: id_token(email_verified="true"),
    "with an address that is none": lambda: id_token(email="admin"),
    "with an address that is a list": lambda: id_token(email=["alice@example.com"]),
}


@pytest.mark.parametrize("make", [*BAD.values(), *NAMELESS.values()], ids=[*BAD, *NAMELESS])
def test_anything_else_is_refused(make: Callable[[], str], known: FakeIamWorld) -> None:
    with pytest.raises(RegistryError) as raised:
        IdTokens(GoogleClient(), URL).email(make())
    assert raised.value.descriptor is UNAUTHORIZED


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_refused_token_names_no_principal(make: Callable[[], str], known: FakeIamWorld) -> None:
    with pytest.raises(RegistryError) as raised:
        IdTokens(GoogleClient(), URL).principal(make())
    assert raised.value.descriptor is UNAUTHORIZED


@pytest.mark.parametrize("make", NAMELESS.values(), ids=NAMELESS)
def test_an_account_without_an_address_is_named_by_its_number(make: Callable[[], str], known: FakeIamWorld) -> None:
    assert IdTokens(GoogleClient(), URL).principal(make()) == "12345"


STRANGE: list[Any] = [
    None,
    True,
    1,
    1e400,
    -1,
    "",
    "x",
    "\ud800@x",
    [],
    ["https://accounts.google.com"],
    {},
    {"a": [URL]},
    [URL, 1],
]


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "nbf", "email", "email_verified", "jti"])
@pytest.mark.parametrize("value", STRANGE)
def test_a_claim_of_another_type_is_refused_and_no_error(known: FakeIamWorld, name: str, value: Any) -> None:
    now = int(time.time())
    good = {"iss": ISSUERS[0], "aud": URL, "sub": "12345", "email": "alice@example.com", "email_verified": True}
    claims = good | {"iat": now, "exp": now + 3600, name: value}
    token = jwt.api_jws.encode(json.dumps(claims).encode(), private_key(1), "RS256", headers={"kid": "google-1"})

    try:
        named = IdTokens(GoogleClient(), URL).principal(token)
    except RegistryError as error:
        named = error.descriptor.code

    # What the name does not come from may be anything.
    assert named in ("UNAUTHORIZED", "12345", "alice@example.com")
    if name in ("iss", "aud", "exp") or (name == "sub" and not isinstance(value, str)):
        assert named == "UNAUTHORIZED"


@pytest.mark.parametrize("kid", [None, 1, [], {}, ["google-1"]])
def test_a_header_of_another_type_is_refused_and_no_error(known: FakeIamWorld, kid: Any) -> None:
    header = json_base64({"alg": "RS256", "kid": kid})
    token = ".".join([header, *id_token().split(".")[1:]])

    with pytest.raises(RegistryError) as raised:
        IdTokens(GoogleClient(), URL).principal(token)
    assert raised.value.descriptor is UNAUTHORIZED


def test_the_keys_are_fetched_once_an_hour_and_not_for_each_unknown_key_id(known: FakeIamWorld) -> None:
    clock = Clock()
    tokens = IdTokens(GoogleClient(), URL, clock)
    for number in range(20):
        tokens.email(id_token())
        with pytest.raises(RegistryError):
            tokens.email(id_token(kid=f"unknown-{number}"))
    assert known.requests() == ["GET /oauth2/v3/certs 200"]

    # A key that is new is found once a moment has gone by.
    known.fields["certs"]["keys"][0]["kid"] = "google-2"
    known.save()
    clock.now += 31
    assert tokens.email(id_token(kid="google-2")) == "alice@example.com"
    assert known.requests() == ["GET /oauth2/v3/certs 200"]


def test_waiting_for_keys_blocks_no_other_caller(known: FakeIamWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google is slow, and anonymous clients send tokens with unknown key ids."""
    clock, go_on = Clock(), threading.Event()
    tokens = IdTokens(GoogleClient(), URL, clock)
    good, bad = id_token(), id_token(kid="unknown")
    tokens.email(good)
    clock.now += 31
    fetch = GoogleClient.certificates

    def slow(google: GoogleClient) -> Reply:
        assert go_on.wait(TIMEOUT)
        return fetch(google)

    monkeypatch.setattr(GoogleClient, "certificates", slow)

    turned_away, kept = run_concurrent_callers(
        lambda: (tokens.email(good), tokens.email(bad)), 40, 1 + MAX_WAITING, go_on
    )

    assert turned_away == [UNAVAILABLE] * (40 - 1 - MAX_WAITING)
    assert kept == [UNAUTHORIZED] * (1 + MAX_WAITING)
    known.requests()


def test_without_the_keys_there_is_no_answer(known: FakeIamWorld) -> None:
    known.outage("oauth2", 500)

    with pytest.raises(RegistryError) as raised:
        IdTokens(GoogleClient(), URL).email(id_token())
    assert raised.value.descriptor is UNAVAILABLE


def test_a_key_of_an_unknown_kind_does_not_spoil_those_beside_it(known: FakeIamWorld) -> None:
    unknown = [{"kty": "AKP", "kid": "post-quantum"}, {"kty": "EC", "crv": "P-999", "kid": "curve"}, {"kid": []}, "x"]
    known.fields["certs"]["keys"][:0] = unknown
    known.save()

    assert IdTokens(GoogleClient(), URL).email(id_token()) == "alice@example.com"


@pytest.mark.parametrize("keys", [None, 1, [], {}, ["x"]])
def test_an_answer_without_a_key_leaves_those_at_hand(known: FakeIamWorld, keys: Any) -> None:
    clock = Clock()
    tokens = IdTokens(GoogleClient(), URL, clock)
    tokens.email(id_token())
    known.fields["certs"] = {"keys": keys}
    known.save()
    clock.now += 31

    with pytest.raises(RegistryError) as raised:
        tokens.email(id_token(kid="new"))

    assert raised.value.descriptor is UNAVAILABLE
    assert tokens.email(id_token()) == "alice@example.com"


def test_a_refusal_is_no_set_of_keys(known: FakeIamWorld) -> None:
    known.outage("oauth2", 404)

    with pytest.raises(RegistryError) as raised:
        IdTokens(GoogleClient(), URL).email(id_token())
    assert raised.value.descriptor is UNAVAILABLE
