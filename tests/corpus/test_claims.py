"""Tokens with the right signature whose claims are not of the right type: each claim with each type of JSON.

The registry's own tokens are signed here with its key, and Google's ID tokens with a key that the fake publishes: so
nothing but the claim itself is left to be refused. What is refused is 401 and never 5xx.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

import jwt
import pytest

from lading.auth.keys import KeyRing, Keys, SigningKey
from lading.auth.tokens import Tokens
from tests.support.app_client import Client
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import SERVICE, URL, FakeIamWorld, claims_of, private_key, publish_certificates
from tests.support.server_process import basic

VALUES: Final = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "one": "1",
    "less than zero": "-1",
    "a fraction": "1.5",
    "more than a float": "1e400",
    "not a number": "NaN",
    "an integer of 5,000 digits": "9" * 5_000,
    "a hundred years": str(int(time.time()) + 100 * 365 * 86400),
    "no text": '""',
    "text": '"root"',
    "text of digits": '"99999999999"',
    "text with a null byte": '"a\\u0000b"',
    "half a surrogate": '"\\ud800"',
    "an empty list": "[]",
    "a list of null": "[null]",
    "a list of text": '["root"]',
    "a list of lists": "[[[[]]]]",
    "an object": '{"a": 1}',
    "deep lists": "[" * 2_000 + "]" * 2_000,
}
"""As they are written: some are not what json.dumps makes."""

OWN: Final = ("iss", "aud", "sub", "iat", "nbf", "exp", "access", "refused", "readable", "anonymous")
GOOGLES: Final = ("iss", "aud", "sub", "iat", "nbf", "exp", "email", "email_verified")

RIGHT: Final = {
    # What is of the right type, and says nothing more than it may.
    "nbf": {"zero", "one", "less than zero"},
    "sub": {"no text", "text", "text of digits", "text with a null byte", "half a surrogate"},
    "access": {"an empty list"},
    "refused": {"an empty list"},
    "readable": {"an empty list", "a list of text"},
    "anonymous": {"true", "false"},
}
NAMES: Final = {"alice@example.com", "12345"}
"""Who comes with one of Google's: by the address, or where that is not of the right type, by the number."""

PATHS: Final = ("/v2/", "/v2/token")

KEY: Final = SigningKey("k1", b"k" * 64)
HEADER: Final = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def with_claim(claims: dict[str, Any], name: str, value: str) -> bytes:
    """The claims as JSON, one of them as it is written."""
    rest = json.dumps({key: claim for key, claim in claims.items() if key != name})
    return f'{rest[:-1]}, "{name}": {value}}}'.encode()


def own_claims() -> dict[str, Any]:
    now = int(time.time())
    access = [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
    times = {"iat": now, "nbf": now, "exp": now + 300}
    return {"iss": URL, "aud": SERVICE, "sub": "alice", "jti": "x", "access": access, "refused": [], **times}


def googles_claims() -> dict[str, Any]:
    now = int(time.time())
    person = {"sub": "12345", "email": "alice@example.com", "email_verified": True}
    return {"iss": "https://accounts.google.com", "aud": URL, "iat": now, "exp": now + 3600, **person}


def own(payload: bytes, header: dict[str, Any] = HEADER) -> str:
    """A token with the registry's own signature."""
    return jwt.api_jws.encode(payload, KEY.secret, "HS256", headers=header)


def googles(payload: bytes) -> str:
    """An ID token with Google's signature."""
    return jwt.api_jws.encode(payload, private_key(1), "RS256", headers={"kid": "google-1"})


@pytest.fixture
def client(make_app: AppFactory, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Of a registry whose key is KEY."""
    made = make_app().client
    ring = KeyRing(lambda: Keys((KEY,), b"r" * 32))
    monkeypatch.setattr(made.app.authenticator, "_tokens", Tokens(ring, URL, SERVICE, ()), raising=True)
    return made


def statuses(client: Client, make: Callable[[bytes], str], claims: dict[str, Any], claim: str) -> dict[str, set[int]]:
    """What is answered to a token with each value of a claim, at each of PATHS."""
    return {
        name: {
            client.request("GET", path, headers={"Authorization": make(with_claim(claims, claim, value))}).status
            for path in PATHS
        }
        for name, value in VALUES.items()
    }


@pytest.mark.parametrize("claim", OWN)
def test_a_claim_of_another_type_in_a_token_of_our_own(
    claim: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def make(payload: bytes) -> str:
        return f"Bearer {own(payload)}"

    good = make(json.dumps(own_claims()).encode())
    assert client.request("GET", "/v2/", headers={"Authorization": good}).status == 200

    told = statuses(client, make, own_claims(), claim)

    assert {name for name, found in told.items() if found != {401}} == RIGHT.get(claim, set())
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("claim", GOOGLES)
def test_a_claim_of_another_type_in_an_id_token(
    claim: str, make_app: AppFactory, world: FakeIamWorld, caplog: pytest.LogCaptureFixture
) -> None:
    publish_certificates(world)
    client = make_app().client

    def make(payload: bytes) -> str:
        return basic("oauth2accesstoken", googles(payload))

    good = make(json.dumps(googles_claims()).encode())
    assert client.request("GET", "/v2/token", headers={"Authorization": good}).status == 200

    for name, value in VALUES.items():
        sent = {"Authorization": make(with_claim(googles_claims(), claim, value))}
        answer = client.request("GET", "/v2/token", headers=sent)
        if claim in ("iss", "aud") or answer.status != 200:
            assert answer.status == 401, name
        else:
            assert claims_of(answer.json["token"])["sub"] in NAMES, name
    assert "Traceback" not in caplog.text


def raw(header: str, payload: bytes | None = None, secret: bytes = b"x" * 64) -> str:
    """A token whose header is as it is written, signed with `secret`."""
    parts = [header.encode(), json.dumps(own_claims()).encode() if payload is None else payload]
    body = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    mac = hmac.digest(secret, body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


GOOD_HEADER: Final = '{"alg": "HS256", "typ": "JWT", "kid": "k1"}'
FORGED: Final[dict[str, Callable[[], str]]] = {
    "a good header": lambda: raw(GOOD_HEADER),
    "two algorithms, none last": lambda: raw('{"alg": "HS256", "typ": "JWT", "kid": "k1", "alg": "none"}'),
    "two algorithms, none first": lambda: raw('{"alg": "none", "typ": "JWT", "kid": "k1", "alg": "HS256"}'),
    "two keys' ids": lambda: raw('{"alg": "HS256", "typ": "JWT", "kid": "k2", "kid": "k1"}'),
    "none, with our signature": lambda: raw('{"alg": "none", "typ": "JWT", "kid": "k1"}', None, KEY.secret),
    "no type, with our signature": lambda: raw('{"alg": "HS256", "kid": "k1"}', None, KEY.secret),
    "a nested token, with our signature": lambda: raw(
        '{"alg": "HS256", "typ": "JWT", "kid": "k1", "cty": "JWT"}', own(b"{}").encode(), KEY.secret
    ),
    "a body that is not encoded": lambda: raw(
        '{"alg": "HS256", "typ": "JWT", "kid": "k1", "b64": false, "crit": ["b64"]}', None, KEY.secret
    ),
    "a body that is compressed": lambda: raw(
        '{"alg": "HS256", "typ": "JWT", "kid": "k1", "zip": "DEF"}', None, KEY.secret
    ),
    "a header of 5,000 digits": lambda: raw(f'{{"alg": {"9" * 5_000}, "typ": "JWT", "kid": "k1"}}'),
    "a header nested deep": lambda: raw("[" * 5_000),
    "claims with a null byte after them": lambda: raw(
        GOOD_HEADER, json.dumps(own_claims()).encode() + b"\0", KEY.secret
    ),
    "claims that are text": lambda: raw(GOOD_HEADER, b'"alice"', KEY.secret),
    "claims that are nothing": lambda: raw(GOOD_HEADER, b"", KEY.secret),
    "the other alphabet of base64": lambda: (
        own(json.dumps(own_claims()).encode()).replace("-", "+").replace("_", "/") + "=="
    ),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_a_token_that_is_put_together_otherwise(
    make: Callable[[], str], client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for path in PATHS:
        assert client.request("GET", path, headers={"Authorization": f"Bearer {make()}"}).status == 401
    assert "Traceback" not in caplog.text
