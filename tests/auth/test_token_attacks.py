"""Forged, changed and foreign tokens are refused with 401."""

import base64
import json
import logging
import time
import zlib
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from lading.auth.scopes import repository
from lading.auth.tokens import MAX_CLOCK_SKEW, TOKEN_TTL, TokenCaller
from lading.registry.errors import UNAUTHORIZED, RegistryError
from tests.auth.token_fixtures import GRANTED, KEY, Alice, tokens
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import SERVICE, URL, bearer, claims_of, json_base64, pem, private_key, public_pem


def issued(clock: Callable[[], float] = time.time) -> str:
    refused = [repository("team/app", ["delete"])]
    return tokens(clock).issue(Alice(), anonymous=False, granted=GRANTED, refused=refused).text


PACKED = {
    "no text": 5,
    "a list": [],
    "no base64": "ä",
    "not packed": base64.b64encode(b"{}").decode(),
    "no JSON": base64.b64encode(zlib.compress(b"{")).decode(),
    "no object": base64.b64encode(zlib.compress(b"[]")).decode(),
    "nothing": base64.b64encode(zlib.compress(b"{}")).decode(),
    "cut": base64.b64encode(zlib.compress(b'{"access": [], "refused": []}')[:-5]).decode(),
    "a bomb": base64.b64encode(zlib.compress(b'{"access": [], "refused": []}' + b" " * 1_000_000)).decode(),
}


@pytest.mark.parametrize("value", PACKED.values(), ids=PACKED)
def test_packed_scopes_that_cannot_be_read_are_401(value: Any) -> None:
    with pytest.raises(RegistryError) as raised:
        tokens().verify(with_claim("packed", value))
    assert raised.value.descriptor is UNAUTHORIZED


def changed(part: int, **changes: Any) -> str:
    """A good token, one part of which is another one, with the signature as it was."""
    parts = issued().split(".")
    value = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = json_base64(value | changes)
    return ".".join(parts)


def signed(
    algorithm: str = "HS256", key: Any = KEY.secret, header: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A token of these claims, by whatever key and algorithm; None takes a claim out."""
    claims = claims_of(issued()) | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers={"kid": "k1"} | (header or {}))


def confused() -> str:
    """Signed with what everybody knows, as if it were a secret (CVE-2016-5431, CVE-2022-29217)."""
    body = f"{json_base64({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{json_base64(claims_of(issued()))}"
    import hashlib
    import hmac

    mac = hmac.digest(public_pem(private_key()).encode(), body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


NOW = int(time.time())

WIDER = [{"type": "repository", "name": "*", "actions": ["pull", "push", "delete"]}]

JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}

ATTACKS: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: f"{json_base64({'alg': 'none', 'typ': 'JWT', 'kid': 'k1'})}.{issued().split('.')[1]}.",
    "no algorithm, signature kept": lambda: changed(0, alg="none"),
    "None in other letters": lambda: changed(0, alg="nOnE"),
    "an empty algorithm": lambda: changed(0, alg=""),
    "an algorithm that is a number": lambda: changed(0, alg=1),
    "HS384 with the right key": lambda: signed("HS384"),
    "HS512 with the right key": lambda: signed("HS512"),
    "RS256 with a key of one's own": lambda: signed("RS256", private_key()),
    "a public key as the secret": confused,
    "another key": lambda: signed(key=b"x" * 32),
    "half the key": lambda: signed(key=b"k" * 32),
    "a key of zeros": lambda: signed(key=b"\0" * 64),
    "the id of no key": lambda: signed(header={"kid": "k2"}),
    "the id of a path": lambda: signed(key=b"x" * 32, header={"kid": "../../dev/null"}),
    "the id of a query": lambda: signed(key=b"x" * 32, header={"kid": "' OR 1=1 --"}),
    "a very long id": lambda: signed(header={"kid": "k" * 9000}),
    "an id that is a list": lambda: changed(0, kid=["k1"]),
    "no id": lambda: f"{json_base64({'alg': 'HS256', 'typ': 'JWT'})}.{'.'.join(issued().split('.')[1:])}",
    "its key in the header": lambda: signed(key=b"x" * 32, header={"jwk": JWK}),
    "its key in the header, and the right signature": lambda: signed(header={"jwk": JWK}),
    "a key's address in the header": lambda: signed(header={"jku": "http://127.0.0.1:1/keys"}),
    "a certificate's address in the header": lambda: signed(header={"x5u": "http://127.0.0.1:1/cert"}),
    "a certificate in the header": lambda: signed(header={"x5c": [pem(private_key())]}),
    "a critical header": lambda: signed(header={"crit": ["exp"]}),
    "another type": lambda: signed(header={"typ": "at+jwt"}),
    "another audience": lambda: signed(aud="other.example"),
    "another audience among ours in one text": lambda: signed(aud=f"{SERVICE} other.example"),
    "no audience": lambda: signed(aud=None),
    "the URL as audience": lambda: signed(aud=URL),
    "another issuer": lambda: signed(iss="https://other.example"),
    "an issuer with a slash more": lambda: signed(iss=f"{URL}/"),
    "no issuer": lambda: signed(iss=None),
    "no subject": lambda: signed(sub=None),
    "a subject that is a number": lambda: signed(sub=1),
    "expired": lambda: signed(iat=NOW - 9999, nbf=NOW - 9999, exp=NOW - 60),
    "no end": lambda: signed(exp=None),
    "an end that is text": lambda: signed(exp="never"),
    "not yet valid": lambda: signed(nbf=NOW + 3600),
    "issued tomorrow": lambda: signed(iat=NOW + 86400),
    "no beginning": lambda: signed(nbf=None),
    "an end beyond our own": lambda: signed(exp=int(time.time()) + TOKEN_TTL + MAX_CLOCK_SKEW + 60),
    "a life longer than our own, almost over": lambda: signed(iat=NOW - 3600, nbf=NOW - 3600),
    "an end in a thousand years": lambda: signed(exp=NOW + 10**11),
    "an end that is a number's text": lambda: signed(exp=str(NOW + 60)),
    "wider scope, signature kept": lambda: changed(1, access=WIDER),
    "another subject, signature kept": lambda: changed(1, sub="root@example.com"),
    "a later end, signature kept": lambda: changed(1, exp=NOW + 10**8),
    "a signature of nothing": lambda: ".".join(issued().split(".")[:2]) + ".",
    "no signature": lambda: ".".join(issued().split(".")[:2]),
    "half a signature": lambda: issued()[:-20],
    "a part too many": lambda: issued() + ".e30",
    "encrypted": lambda: "e30.e30.e30.e30.e30",
    "cut after the header": lambda: issued().split(".")[0],
    "parts that are no base64": lambda: "%%%.%%%.%%%",
    "parts that are no JSON": lambda: "AAAA.AAAA.AAAA",
    "a header that is a list": lambda: f"{json_base64([])}.{'.'.join(issued().split('.')[1:])}",
    "claims that are a list": lambda: jwt.api_jws.encode(
        b"[]", KEY.secret, "HS256", headers={"kid": "k1", "typ": "JWT"}
    ),
    "claims nested deep": lambda: jwt.api_jws.encode(b"[" * 6000, KEY.secret, "HS256", headers={"kid": "k1"}),
    "huge": lambda: signed(padding="x" * 200_000),
    "a null byte": lambda: issued() + "\0",
    "letters of another alphabet": lambda: issued() + "é",
    "nothing": lambda: "",
    "blanks": lambda: "   ",
    "two tokens": lambda: f"{issued()} {issued()}",
    "one of Google's tokens": lambda: "ya29.some-google-token",
    "a robot's secret": lambda: "lading_" + "x" * 43,
}

JSON_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -1,
    "fraction": 1.5,
    "larger than a float": 10**400,
    "infinity": float("inf"),
    "no number": float("nan"),
    "no text": "",
    "text": "x",
    "no items": [],
    "numbers": [1],
    "nulls": [None],
    "texts": ["x"],
    "lists": [[]],
    "no fields": {},
    "fields": {"a": 1},
    "objects": [{"type": "repository", "name": "team/app"}],
    "a scope of other types": [{"type": "repository", "name": ["team/app"], "actions": {"pull": 1}}],
    "a scope with a number": [{"type": 1, "name": "team/app", "actions": ["pull"]}],
    "actions of other types": [{"type": "repository", "name": "team/app", "actions": [["pull"]]}],
}

CLAIMS = (*claims_of(issued()), "anonymous", "readable")

RIGHT = {
    "sub": str,
    "jti": str,
    "anonymous": bool,
}
"""Types of which any value is good. All others are compared, or have a form."""


def with_claim(name: str, value: Any) -> str:
    """A token with a good signature, one claim of which is any JSON."""
    document = json.dumps(claims_of(issued()) | {name: value}).encode()
    return jwt.api_jws.encode(document, KEY.secret, "HS256", headers={"kid": "k1", "typ": "JWT"})


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_a_claim_of_another_type_is_401(name: str, value: Any) -> None:
    good = (
        type(value) is RIGHT.get(name)
        or (name in ("access", "refused", "readable") and value == [])
        or (name == "readable" and value == ["x"])
        # A beginning may be long ago.
        or (name == "nbf" and type(value) is int and value < NOW)
    )
    if good:
        assert isinstance(tokens().verify(with_claim(name, value)), TokenCaller)
        return
    with pytest.raises(RegistryError) as raised:
        tokens().verify(with_claim(name, value))
    assert raised.value.descriptor is UNAUTHORIZED


GOOD_FOR_ANOTHER = {"replayed for another repository": "team/other", "replayed for more than was granted": "team"}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_answered_401_and_not_logged(
    attack: Callable[[], str], make_app: AppFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app.authenticator, "_tokens", tokens(), raising=True)
    token = attack()
    caplog.set_level(logging.DEBUG)

    for method, path in (("GET", "/v2/"), ("GET", "/v2/team/app/tags/list"), ("POST", "/v2/team/app/blobs/uploads/")):
        answer = client.request(method, path, headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")})
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith(f'Bearer realm="{URL}/v2/token",service="{SERVICE}"')
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    longest = max(token.replace(".", " ").split(), key=len, default="-")
    assert len(longest) < 12 or longest not in caplog.text


def test_the_token_that_the_attacks_begin_with_is_good(make_app: AppFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app.authenticator, "_tokens", tokens(), raising=True)

    for good in (issued(), signed()):
        assert client.request("GET", "/v2/", headers=bearer(good)).status == 200
        assert client.request("GET", "/v2/team/app/tags/list", headers=bearer(good)).status == 404
        assert client.request("POST", "/v2/team/app/blobs/uploads/", headers=bearer(good)).status == 202


@pytest.mark.parametrize("name", GOOD_FOR_ANOTHER.values(), ids=GOOD_FOR_ANOTHER)
def test_a_token_is_good_for_what_it_names_alone(
    name: str, make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app.authenticator, "_tokens", tokens(), raising=True)

    for method, path in (("GET", f"/v2/{name}/tags/list"), ("POST", f"/v2/{name}/blobs/uploads/")):
        answer = client.request(method, path, headers=bearer(issued()))
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert f'scope="repository:{name}:pull' in answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
