"""What Google's front adds and limits, and what Envoy answers by itself, in the form of the specification."""

import json
import secrets
import socket

import pytest

from emulators.cloud import Cloud, ContainerError
from tests.cloud.containers import MIB, repository, server_of
from tests.cloud.h2c_requests import connected
from tests.support.server_process import Server, read_response

FORWARDED = {
    "the client's address alone": ["192.0.2.1"],
    "after what the client wrote itself": ["10.0.0.1, 192.0.2.1"],
    "after its own and after loopback": ["127.0.0.1, 10.0.0.1, 192.0.2.1"],
    "in a header of its own": ["10.0.0.1", "192.0.2.1"],
}
"""How the header may arrive that Cloud Run's front appends 192.0.2.1 to."""


def address_of(registry: Server, path: str) -> str:
    """Return the client's address, as the log has it of the one request for a path."""
    lines = [json.loads(line) for line in registry.log.read_text().splitlines() if line.startswith("{")]
    requests = [line["httpRequest"] for line in lines if "httpRequest" in line]
    (address,) = (each["remoteIp"] for each in requests if each["requestUrl"] == path)
    return str(address)


@pytest.mark.parametrize("entries", FORWARDED.values(), ids=FORWARDED)
def test_the_clients_address_is_what_the_front_appended(registry: Server, entries: list[str]) -> None:
    """Envoy is no hop of LADING_TRUSTED_HOPS: it appends nothing, and takes nothing away."""
    one, two = (f"/v2/{secrets.token_hex(8)}" for _ in range(2))
    headers = "".join(f"X-Forwarded-For: {entry}\r\n" for entry in entries)
    with socket.create_connection(("127.0.0.1", registry.port), 30) as sock:
        sock.sendall(f"GET {one} HTTP/1.1\r\nHost: {registry.host}\r\n{headers}\r\n".encode())
        read_response(sock)
    with connected(registry) as http2:
        http2.wait_for_response(
            http2.send_headers("GET", two, [("x-forwarded-for", entry) for entry in entries], end=True)
        )

    assert (address_of(registry, one), address_of(registry, two)) == ("192.0.2.1", "192.0.2.1")


def test_through_the_front_a_client_that_writes_the_header_is_known_all_the_same(through_google: Server) -> None:
    one, two = (f"/v2/{secrets.token_hex(8)}" for _ in range(2))
    through_google.request("GET", one)
    through_google.request("GET", two, headers={"X-Forwarded-For": "198.51.100.66"})
    # Envoy appends this machine's own address for a client on loopback.
    assert address_of(through_google, one) == address_of(through_google, two) != "198.51.100.66"


def test_without_a_front_it_is_the_peers(registry: Server) -> None:
    path = f"/v2/{secrets.token_hex(8)}"
    registry.request("GET", path)
    assert address_of(registry, path) == "127.0.0.1"


def test_headers_that_are_too_large_are_refused_in_the_form_of_the_specification(registry: Server) -> None:
    large = {"X-Large": "x" * 62_000}
    response, body = registry.request("GET", "/v2/", headers=large)
    assert (response.status, response.headers["Content-Type"]) == (431, "application/json")
    assert set(json.loads(body)["errors"][0]) == {"code", "message"}
    with connected(registry) as http2:
        # Envoy's codec of HTTP/2 has no other answer.
        assert http2.request("GET", "/v2/", headers=large).reset is not None
        assert http2.request("GET", "/v2/").status == 200, "and the connection goes on"


def test_a_body_above_the_fronts_limit_is_refused_in_the_form_of_the_specification(cloud: Cloud) -> None:
    """With `http2 = false` Terraform sets LADING_LARGEST_BODY, below what Cloud Run would end without a word."""
    with cloud.run_another(LADING_LARGEST_BODY="1") as container, connected(server_of(container, cloud)) as http2:
        path = f"/v2/{repository()}/blobs/uploads/?digest=sha256:{'0' * 64}"
        stream = http2.send_headers("POST", path, {"content-length": str(2 * MIB)})
        http2.send(stream, bytes(2 * MIB), end=True)
        answer = http2.wait_for_response(stream)
        assert answer.status == 413
        assert json.loads(answer.content)["errors"][0]["code"] == "SIZE_INVALID"
        assert http2.request("GET", "/v2/").status == 200


def test_the_registry_is_never_open_to_everybody_here(cloud: Cloud) -> None:
    with (
        pytest.raises(ContainerError, match="everybody is for loopback alone"),
        cloud.run_another(LADING_ACCESS="everybody"),
    ):
        pass
