"""The registry's own tokens: what is in them, and what is done to them."""

import base64
import gc
import json
import logging
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import jwt
import pytest

from lading.auth.authenticator import AnonymousCaller
from lading.auth.scopes import CATALOG, MAX_SCOPES, Scope, repository
from lading.auth.tokens import MAX_CLOCK_SKEW, TOKEN_TTL, TokenCaller
from lading.registry.errors import UNAUTHORIZED, RegistryError
from tests.auth.token_fixtures import GRANTED, KEY, Alice, tokens
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import SERVICE, URL, bearer, claims_of, json_base64, pem, private_key, public_pem
from tests.support.server_process import basic


def issued(clock: Callable[[], float] = time.time) -> str:
    refused = [repository("team/app", ["delete"])]
    return tokens(clock).issue(Alice(), anonymous=False, granted=GRANTED, refused=refused).text


def test_a_token_says_what_was_granted_and_lives_five_minutes() -> None:
    claims = claims_of(issued())

    assert claims["exp"] - claims["iat"] == 300
    assert claims["nbf"] == claims["iat"]
    assert (claims["iss"], claims["aud"], claims["sub"]) == (URL, SERVICE, "alice@example.com")
    assert claims["access"] == [
        {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]
    assert claims["readable"] == ["team", "team/*"]
    assert jwt.get_unverified_header(issued()) == {"alg": "HS256", "typ": "JWT", "kid": "k1"}


class Owner(Alice):
    """Alice, who may list more than a token can hold."""

    def readable_patterns(self) -> list[str]:
        return [f"team-{number}/*" for number in range(5000)]


def random_names(length: int) -> list[str]:
    """Names that cannot be packed well."""
    generator = random.Random(length)
    return [f"team/{generator.randbytes(length // 2).hex()}" for _ in range(MAX_SCOPES)]


@pytest.mark.parametrize("length", [20, 240])
def test_the_longest_token_is_one_that_is_read(length: int) -> None:
    """As many scopes as one request may have, half of each refused, and more to list than a token can hold."""
    names = random_names(length)
    given = [*(repository(name, ["pull"]) for name in names[1:]), CATALOG]
    refused = [repository(name, ["push", "delete"]) for name in names]

    token = tokens().issue(Owner(), anonymous=False, granted=given, refused=refused)

    assert len(token.text) < 15 * 1024
    read = tokens().verify(token.text)
    # Of more than fits, the last.
    assert token.granted == tuple(given[-len(token.granted) :])
    assert read.granted == {(scope.name, "pull") for scope in token.granted if scope != CATALOG}
    assert read.refused == {(scope.name, action) for scope in token.refused for action in ("push", "delete")}
    assert len(token.granted) > 30
    assert 20 < len(read.catalog or ()) < 5000
    assert len(tokens().verify(tokens().issue(Owner(), False, [CATALOG], []).text).catalog or ()) > 500


@pytest.mark.parametrize(("length", "calls"), [(20, 1), (40, 7), (120, 7), (240, 7)])
def test_fitting_scopes_into_a_token_takes_few_compressions(
    length: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a millisecond of CPU, which any anonymous client can cause."""
    given = [repository(name, ["pull", "push"]) for name in random_names(length)]
    compress = Mock(side_effect=zlib.compress)
    monkeypatch.setattr(zlib, "compress", compress)
    token = tokens().issue(Alice(), anonymous=False, granted=given, refused=[])
    assert compress.call_count <= calls
    assert token.granted == tuple(given[-len(token.granted) :])
    # As many as fit: with one part more, the token would be too large.
    assert calls == 1 or len(token.text) > 11 * 1024


def test_as_many_scopes_as_one_request_may_have_fit_into_a_token() -> None:
    given = [repository(name, ["pull", "push"]) for name in random_names(20)]

    token = tokens().issue(Alice(), anonymous=False, granted=given, refused=[])

    assert len(token.text) < 15 * 1024
    assert token.granted == tuple(given)
    assert tokens().verify(token.text).granted == {(scope.name, each) for scope in given for each in scope.actions}


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


def test_a_client_without_credentials_cannot_fill_the_memory() -> None:
    """10,000 tokens are remembered: of the longest, only that they are verified again."""
    small, large = (
        [anonymous_token([f"{'a' * 150}-{number}-{scope}" for scope in range(scopes)]) for number in range(50)]
        for scopes in (1, MAX_SCOPES)
    )

    reader = tokens()
    assert reader.verify(small[0]) is reader.verify(small[0])
    assert kept_for(small) < 5_000
    assert kept_for(large) < 500


def test_a_short_token_for_much_is_not_remembered() -> None:
    names = [f"{'a' * 200}{number}" for number in range(MAX_SCOPES)]
    text = tokens().issue(Alice(), False, [repository(name, ["pull"]) for name in names], []).text
    reader = tokens()

    assert reader.verify(text) is not reader.verify(text)
    assert len(reader.verify(text).granted) == MAX_SCOPES


def anonymous_token(names: list[str]) -> str:
    scopes = [repository(name, ["pull", "push", "delete"]) for name in names]
    return tokens().issue(AnonymousCaller(()), anonymous=True, granted=[], refused=scopes).text


def kept_for(texts: list[str]) -> float:
    """Return how many bytes stay in memory for each token that is read."""
    reader = tokens()
    tracemalloc.start()
    try:
        for text in texts:
            reader.verify(text)
        # The JSON of the last one may be part of a cycle.
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(texts)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("age", "good"), [(-25, True), (0, True), (325, True), (-35, False), (335, False)])
def test_clocks_may_differ_by_half_a_minute(age: int, good: bool) -> None:
    token = issued(lambda: time.time() - age)

    if good:
        assert tokens().verify(token).principal == "alice@example.com"
    else:
        with pytest.raises(RegistryError) as raised:
            tokens().verify(token)
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
    monkeypatch.setattr(client.app._authenticator, "_tokens", tokens(), raising=True)
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
    monkeypatch.setattr(client.app._authenticator, "_tokens", tokens(), raising=True)

    for good in (issued(), signed()):
        assert client.request("GET", "/v2/", headers=bearer(good)).status == 200
        assert client.request("GET", "/v2/team/app/tags/list", headers=bearer(good)).status == 404
        assert client.request("POST", "/v2/team/app/blobs/uploads/", headers=bearer(good)).status == 202


@pytest.mark.parametrize("name", GOOD_FOR_ANOTHER.values(), ids=GOOD_FOR_ANOTHER)
def test_a_token_is_good_for_what_it_names_alone(
    name: str, make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app._authenticator, "_tokens", tokens(), raising=True)

    for method, path in (("GET", f"/v2/{name}/tags/list"), ("POST", f"/v2/{name}/blobs/uploads/")):
        answer = client.request(method, path, headers=bearer(issued()))
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert f'scope="repository:{name}:pull' in answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_what_the_token_was_refused_is_denied_and_not_asked_for_again(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app._authenticator, "_tokens", tokens(), raising=True)

    answer = client.request("DELETE", "/v2/team/app/manifests/v1", headers=bearer(issued()))

    assert (answer.status, answer.code) == (403, "DENIED")


def test_a_token_cannot_be_renewed_with_itself(make_app: AppFactory) -> None:
    app = make_app(public="library/*")
    token = app.token("repository:library/x:pull")

    for method, path in (("GET", "/v2/token"), ("GET", "/v2/token?scope=repository:library/x:pull")):
        assert app.client.request(method, path, headers=bearer(token)).status == 401


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic %", "Basic YQ==", "Basic " + "A" * 100_000, "Digest x", "basic", "Bearer", "x", basic("", "")],
)
def test_headers_that_make_no_sense_are_bad_credentials(authorization: str, make_app: AppFactory) -> None:
    app = make_app(public="library/*")

    for path in ("/v2/", "/v2/token", "/v2/library/x/tags/list"):
        assert app.client.request("GET", path, headers={"Authorization": authorization}).status == 401


def test_a_caller_by_token_reads_what_it_lists() -> None:
    caller = tokens().verify(issued())

    assert isinstance(caller, TokenCaller)
    assert set(caller.readable_patterns()) == {"public/*", "team", "team/*", "team/app"}


def test_scopes_are_those_of_docker() -> None:
    assert str(Scope("repository", "a/b", ("pull", "push"))) == "repository:a/b:pull,push"
