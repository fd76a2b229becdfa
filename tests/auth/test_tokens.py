"""The registry's own tokens: what is in them, and what is done to them."""

import gc
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from unittest.mock import Mock

import jwt
import pytest

from lading.auth.authenticator import AnonymousCaller
from lading.auth.scopes import CATALOG, MAX_SCOPES, Scope, repository
from lading.auth.tokens import TokenCaller
from lading.registry.errors import UNAUTHORIZED, RegistryError
from tests.auth.token_fixtures import GRANTED, Alice, tokens
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import SERVICE, URL, bearer, claims_of
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


@pytest.mark.parametrize("few", [1, 2, 5])
def test_the_newest_scope_is_granted_however_many_are_refused(few: int) -> None:
    given = [repository(f"team/app-{number}", ["pull"]) for number in range(few)]
    others = [repository(name, ["pull"]) for name in random_names(80)]

    token = tokens().issue(Alice(), anonymous=False, granted=given, refused=others)

    assert token.granted
    assert token.granted == tuple(given[-len(token.granted) :])
    assert 0 < len(token.refused) < len(others)
    assert token.refused == tuple(others[-len(token.refused) :])
    other = tokens().issue(Alice(), anonymous=False, granted=others, refused=given)
    assert other.refused == tuple(given[-len(other.refused) :])


def test_as_many_scopes_as_one_request_may_have_fit_into_a_token() -> None:
    given = [repository(name, ["pull", "push"]) for name in random_names(20)]

    token = tokens().issue(Alice(), anonymous=False, granted=given, refused=[])

    assert len(token.text) < 15 * 1024
    assert token.granted == tuple(given)
    assert tokens().verify(token.text).granted == {(scope.name, each) for scope in given for each in scope.actions}


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


def test_what_the_token_was_refused_is_denied_and_not_asked_for_again(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app().client
    monkeypatch.setattr(client.app.authenticator, "_tokens", tokens(), raising=True)

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
