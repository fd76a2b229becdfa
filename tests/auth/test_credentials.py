"""Service accounts' keys: what is read of them, and what is never done."""

import base64
import contextlib
import json
import socket
import threading
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from functions.auth.credentials import google_token
from functions.registry.errors import UNAUTHORIZED, RegistryError
from tests.auth.conftest import Guard
from tests.auth.worlds import (
    BUCKET,
    KEY_ID,
    PLATFORM,
    PULL,
    ROBOT,
    World,
    know_service_account,
    pem,
    private_key,
    public_pem,
    service_account_key,
)
from tests.servers import basic


def test_a_key_becomes_a_token_that_it_signs_itself() -> None:
    token = google_token("_json_key", service_account_key())

    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
    claims = jwt.decode(token, public_pem(private_key()), ["RS256"])
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert claims == {"iss": ROBOT, "sub": ROBOT, "scope": PLATFORM}


def test_base64_says_the_same_with_line_ends_or_without() -> None:
    key = service_account_key()
    for encoded in (base64.b64encode(key.encode()).decode(), base64.encodebytes(key.encode()).decode()):
        token = google_token("_json_key_base64", encoded)
        assert jwt.decode(token, public_pem(private_key()), ["RS256"])["sub"] == ROBOT


def test_the_same_key_gives_the_same_token_so_that_answers_are_remembered() -> None:
    first = google_token("_json_key", service_account_key(project_id="same"))
    time.sleep(1.1)

    assert google_token("_json_key", service_account_key(project_id="same")) == first


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
    assert raised.value.row is UNAUTHORIZED


def test_no_url_of_a_key_is_followed(guard: Guard, world: World) -> None:
    """The server inside the project must not send requests where a stranger's key says."""
    know_service_account(world)
    world.folder("", PULL, member=f"serviceAccount:{ROBOT}")
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
        answer = guard(access=f"gs://{BUCKET}").client.ask("GET", "/v2/token", headers=headers)
        waiting.join()

    assert answer.status == 200
    assert came == []
    assert {request.split()[1].split("?")[0] for request in world.requests()} == {
        "/tokeninfo",
        f"/storage/v1/b/{BUCKET}/iam/testPermissions",
    }
