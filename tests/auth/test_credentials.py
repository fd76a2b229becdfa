"""Service accounts' keys: what is read of them, and what is never done."""

import base64
import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lading.auth.google import service_account_keys
from lading.auth.google.service_account_keys import MAX_WAITING_CHECKS, ServiceAccountKeys
from lading.auth.guess_limit import GUESSES_PER_SECOND_OF_NETWORK, MAX_GUESSES, MAX_GUESSES_OF_NETWORK
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError
from tests.auth.concurrent_callers import run_concurrent_callers
from tests.support.auth_fixtures import AppFactory, Clock
from tests.support.fake_iam_world import (
    BUCKET,
    KEY_ID,
    PLATFORM_SCOPE,
    PULL,
    SERVICE_ACCOUNT,
    FakeIamWorld,
    pem,
    private_key,
    public_pem,
    register_service_account,
    service_account_key,
)
from tests.support.server_process import basic


def google_token(user: str, key: str) -> str:
    return ServiceAccountKeys().token(user, key, "")


def test_a_key_becomes_a_token_that_it_signs_itself() -> None:
    token = google_token("_json_key", service_account_key())

    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
    claims = jwt.decode(token, public_pem(private_key()), ["RS256"])
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert claims == {"iss": SERVICE_ACCOUNT, "sub": SERVICE_ACCOUNT, "scope": PLATFORM_SCOPE}


def test_base64_says_the_same_with_line_ends_or_without() -> None:
    key = service_account_key()
    for encoded in (base64.b64encode(key.encode()).decode(), base64.encodebytes(key.encode()).decode()):
        token = google_token("_json_key_base64", encoded)
        assert jwt.decode(token, public_pem(private_key()), ["RS256"])["sub"] == SERVICE_ACCOUNT


def test_the_same_key_gives_the_same_token_so_that_answers_are_remembered() -> None:
    keys = ServiceAccountKeys()
    first = keys.token("_json_key", service_account_key(), "")
    time.sleep(1.1)

    assert keys.token("_json_key", service_account_key(), "") == first


def uneven(**changes: int) -> str:
    """A key of the right size, of a prime that takes OpenSSL longer to test than the two of Google's keys."""
    p, q = 2**1279 - 1, private_key(4, 1538).private_numbers().p
    d = changes.get("d") or pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return pem(numbers.private_key(unsafe_skip_rsa_key_validation=True))


BAD: dict[str, Any] = {
    "another type": service_account_key(type="authorized_user"),
    "an external account": service_account_key(type="external_account", credential_source={"url": "http://127.0.0.1/"}),
    "no type": json.dumps({name: value for name, value in json.loads(service_account_key()).items() if name != "type"}),
    "no key": service_account_key(private_key=None),
    "a key that is no PEM": service_account_key(private_key="x"),
    "a key of another kind": service_account_key(private_key=pem(ec.generate_private_key(ec.SECP256R1()))),
    "a short key": service_account_key(private_key=pem(private_key(3, 1024))),
    "a long key": service_account_key(private_key=pem(private_key(3, 3072))),
    "a key of uneven primes": service_account_key(private_key=uneven()),
    "a key whose numbers do not go together": service_account_key(private_key=uneven(d=3)),
    "a key with a password": service_account_key(private_key=pem(private_key(), b"password")),
    "a key that is a list": service_account_key(private_key=[1]),
    "an address that is a number": service_account_key(client_email=1),
    "an address that is very long": service_account_key(client_email="a" * 2001),
    "an id that is very long": service_account_key(private_key_id="a" * 2001),
    "an id that is an object": service_account_key(private_key_id={}),
    "an empty object": "{}",
    "a list": "[]",
    "no JSON": "x",
    "nested deep": "[" * 10_000,
    "nothing": "",
}


@pytest.mark.parametrize("key", BAD.values(), ids=BAD)
@pytest.mark.parametrize("user", ["_json_key", "_json_key_base64"])
def test_other_keys_are_bad_credentials(user: str, key: str) -> None:
    secret = base64.b64encode(key.encode()).decode() if user.endswith("64") else key

    with pytest.raises(RegistryError) as raised:
        google_token(user, secret)
    assert raised.value.descriptor is UNAUTHORIZED


def test_no_url_of_a_key_is_followed(make_app: AppFactory, world: FakeIamWorld) -> None:
    """The server inside the project must not send requests where the key of a foreign account says."""
    register_service_account(world)
    world.folder("", PULL, member=f"serviceAccount:{SERVICE_ACCOUNT}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1)
        came = []

        def wait() -> None:
            with contextlib.suppress(TimeoutError):
                came.append(listener.accept())

        waiting = threading.Thread(target=wait)
        waiting.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        urls = ("token_uri", "auth_uri", "auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain")
        key = service_account_key(**dict.fromkeys(urls, address))
        headers = {"Authorization": basic("_json_key", key)}
        answer = make_app(access=f"gs://{BUCKET}").client.request("GET", "/v2/token", headers=headers)
        waiting.join()

    assert answer.status == 200
    assert came == []
    assert {request.split()[1].split("?")[0] for request in world.requests()} == {
        "/tokeninfo",
        f"/storage/v1/b/{BUCKET}/iam/testPermissions",
    }


class Invented:
    """Keys without end, each of which is checked, and how they are refused."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.keys = ServiceAccountKeys(self.clock)
        self._count = 0

    def refused(self, network: str) -> int | None:
        self._count += 1
        try:
            self.keys.token("_json_key", service_account_key(private_key_id=str(self._count)), network)
        except RegistryError as error:
            return error.descriptor.status
        return None


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Invented:
    monkeypatch.setattr(service_account_keys, "_private_key", lambda pem: private_key())
    return Invented()


def test_invented_keys_of_a_network_are_checked_once_a_second_and_no_others_wait(invented: Invented) -> None:
    known = service_account_key(client_id="known")
    invented.keys.token("_json_key", known, "bad")
    invented.keys.confirm("_json_key", known, "bad")

    assert [invented.refused("bad") for _ in range(MAX_GUESSES_OF_NETWORK + 2)][-3:] == [None, 429, 429]
    assert invented.refused("good") is None
    invented.clock.now += 1 / GUESSES_PER_SECOND_OF_NETWORK
    assert [invented.refused("bad") for _ in range(2)] == [None, 429]
    # The token of the key is made anew after a minute; Google has taken it, so it is not counted.
    invented.clock.now += 61
    for _ in range(MAX_GUESSES_OF_NETWORK):
        invented.refused("bad")
    assert invented.keys.token("_json_key", known, "bad")


def test_many_good_keys_of_one_network_are_no_guesses(invented: Invented) -> None:
    for number in range(MAX_GUESSES_OF_NETWORK + 20):
        key = service_account_key(client_id=f"good {number}")
        invented.keys.token("_json_key", key, "home")
        for _ in range(2):
            invented.keys.confirm("_json_key", key, "home")

    assert [invented.refused("home") for _ in range(MAX_GUESSES_OF_NETWORK + 1)][-2:] == [None, 429]


def test_invented_keys_of_many_networks_do_not_take_the_processor(invented: Invented) -> None:
    refused = [invented.refused(f"network {number}") for number in range(MAX_GUESSES + 1)]

    assert refused == [None] * MAX_GUESSES + [503]


def test_keys_of_one_network_leave_room_for_others_to_wait(invented: Invented, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(pem: str) -> Any:
        assert go_on.wait(30)
        return private_key()

    monkeypatch.setattr(service_account_keys, "_private_key", slow)
    numbers = iter(range(100))

    def come(network: str) -> None:
        invented.keys.token("_json_key", service_account_key(private_key_id=f"id{next(numbers)}"), network)

    kept = 1 + MAX_WAITING_CHECKS // 2
    assert run_concurrent_callers(lambda: come("bad"), 40, kept, go_on) == ([UNAVAILABLE] * (40 - kept), [])


def test_many_machines_with_one_key_check_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def check(pem: str) -> Any:
        checked.append(pem)
        return private_key()

    monkeypatch.setattr(service_account_keys, "_private_key", check)
    keys = ServiceAccountKeys()
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: keys.token("_json_key", service_account_key(), "one"), range(200)))

    assert len(tokens) == len(checked) == 1


def test_the_key_of_a_login_that_google_takes_is_not_counted_again(make_app: AppFactory, world: FakeIamWorld) -> None:
    register_service_account(world)
    world.folder("", PULL, member=f"serviceAccount:{SERVICE_ACCOUNT}")
    app = make_app(access=f"gs://{BUCKET}")

    def status(key: str) -> int:
        return app.client.request("GET", "/v2/", headers={"Authorization": basic("_json_key", key)}).status

    assert status(service_account_key()) == 200
    keys = app.authenticator._authorizer._keys  # type: ignore[attr-defined]
    keys._tokens = ServiceAccountKeys()._tokens
    for _ in range(MAX_GUESSES_OF_NETWORK):
        keys._limit._by_network.add("127.0.0.1")
        keys._limit._by_network.add("")
    assert status(service_account_key(client_id="2")) == 429
    assert status(service_account_key()) == 200
