"""The client's address: the peer's, or that entry of X-Forwarded-For which a trusted proxy has written."""

import json
import socket
from pathlib import Path

import pytest

from lading import settings
from lading.http.client_address import NO_ADDRESS, ClientAddress, client_address
from lading.settings import SettingsError
from tests.support.server_process import read_response, serving, user_environment

PEER = "203.0.113.7"


def text_of(header: str | None, hops: int, peer: str = PEER) -> str:
    environ = {"REMOTE_ADDR": peer}
    if header is not None:
        environ["HTTP_X_FORWARDED_FOR"] = header
    return client_address(environ, hops).text


@pytest.mark.parametrize("header", [None, "192.0.2.1", "192.0.2.1, 192.0.2.2", "127.0.0.1", "nonsense", ""])
def test_without_trusted_proxies_the_header_is_not_read(header: str | None) -> None:
    assert text_of(header, 0) == PEER


@pytest.mark.parametrize(
    ("header", "hops", "text"),
    [
        ("192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1,192.0.2.1", 1, "192.0.2.1"),
        ("192.0.2.1, 198.51.100.80", 2, "192.0.2.1"),
        ("10.0.0.1, 192.0.2.1, 198.51.100.80", 2, "192.0.2.1"),
        (" 10.0.0.1 ,\t192.0.2.1 ", 1, "192.0.2.1"),
        ("10.0.0.1," * 5000 + "192.0.2.1", 1, "192.0.2.1"),
    ],
)
def test_the_trusted_proxys_entry_is_counted_from_the_right(header: str, hops: int, text: str) -> None:
    assert text_of(header, hops) == text


FORGED = [
    "127.0.0.1",
    "127.0.0.1, 127.0.0.1",
    "::1",
    "",
    ",",
    ",,,,",
    "unknown",
    '"192.0.2.66"',
    "for=192.0.2.66",
    "192.0.2.66\t",
    "x" * 100_000,
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize(("written", "hops"), [("192.0.2.1", 1), ("192.0.2.1, 198.51.100.80", 2)])
def test_what_a_client_writes_to_the_left_changes_nothing(forged: str, written: str, hops: int) -> None:
    """Proxies append; a repeated header is joined by commas before, so it is all the same."""
    assert text_of(f"{forged}, {written}", hops) == text_of(written, hops) == "192.0.2.1"


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        (None, 1),
        ("", 1),
        ("192.0.2.1", 2),
        ("192.0.2.1, 192.0.2.2", 3),
        ("192.0.2.1,", 1),
        ("unknown", 1),
        ("_hidden", 1),
        ("192.0.2.1, unknown", 1),
        ("unknown, 198.51.100.80", 2),
        ("192.0.2.1.5", 1),
        ("192.0.2.256", 1),
        ("192.0.2.01", 1),
        ("3221225985", 1),
        ("192.0.2.1 192.0.2.2", 1),
        ("192.0.2.1:", 1),
        ("192.0.2.1:http", 1),
        ("192.0.2.1:123456", 1),
        ("[192.0.2.1]", 1),
        ("[2001:db8::1", 1),
        ("2001:db8::1]", 1),
        ("[2001:db8::1]80", 1),
        ("[2001:db8::1]:", 1),
        ("[[2001:db8::1]]", 1),
        ("2001:db8::zz", 1),
        ("\N{ARABIC-INDIC DIGIT ONE}.2.3.4", 1),
        ("192.0.2.1\n192.0.2.2", 1),
        ("2001:db8::1%" + "z" * 100, 1),
    ],
)
def test_where_that_entry_is_missing_or_no_address_the_peer_counts(header: str | None, hops: int) -> None:
    assert text_of(header, hops) == PEER


@pytest.mark.parametrize(
    ("entry", "text", "network"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:54321", "192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:DB8:1:2::6]", "2001:db8:1:2::6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::6]:443", "2001:db8:1:2::6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("[fe80::1%25eth0]:80", "fe80::1", "fe80::/64"),
        ("::1", "::1", "::/64"),
    ],
)
def test_each_way_of_writing_an_address_is_the_same_address(entry: str, text: str, network: str) -> None:
    """In the header, and as what the server says of its peer."""
    for environ, hops in (({"HTTP_X_FORWARDED_FOR": entry}, 1), ({"REMOTE_ADDR": entry}, 0)):
        assert client_address(environ, hops) == ClientAddress(text, network)


def test_a_connection_without_an_address_has_none() -> None:
    assert client_address({}, 0) == client_address({"REMOTE_ADDR": ""}, 1) == NO_ADDRESS


def test_one_client_of_ipv6_has_one_network_however_it_changes_its_address() -> None:
    networks = {client_address({"REMOTE_ADDR": f"2001:db8:1:2::{number:x}"}, 0).network for number in range(100)}
    assert networks == {"2001:db8:1:2::/64"}


@pytest.mark.parametrize("given", [{"LADING_TRUSTED_HOPS": "1"}, {"K_SERVICE": "registry"}])
def test_everybody_is_refused_where_a_proxy_is_in_front(given: dict[str, str], tmp_path: Path) -> None:
    common = {"LADING_ACCESS": "everybody", "LADING_DATA": str(tmp_path)}
    assert settings.load_settings(common).trusted_hops == 0
    with pytest.raises(SettingsError, match="everybody is for loopback alone"):
        settings.load_settings({**common, **given})


@pytest.mark.parametrize("hops", ["-1", "one", "17", "1.0"])
def test_the_number_of_hops_is_a_number(hops: str) -> None:
    with pytest.raises(SettingsError, match="LADING_TRUSTED_HOPS is"):
        settings.load_settings({"LADING_TRUSTED_HOPS": hops})


SENT = [
    "X-Forwarded-For: 10.0.0.1, 192.0.2.1",
    "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 192.0.2.1",
    "x-forwarded-for: 10.0.0.1\r\nX-FORWARDED-FOR: 10.0.0.2, 192.0.2.1",
    "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-For: 192.0.2.1",
    "Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Client-IP: 10.0.0.1\r\nX-Forwarded-For: 192.0.2.1",
]


@pytest.mark.parametrize("hops", [0, 1])
def test_the_server_knows_the_client_however_the_header_is_sent(hops: int, tmp_path: Path) -> None:
    """A proxy may append a header of its own instead of an entry."""
    variables, _ = user_environment(tmp_path / "access")
    environment = {**variables, "LADING_DATA": str(tmp_path / "data"), "LADING_TRUSTED_HOPS": str(hops)}
    with serving(environment, tmp_path / "log", ["--log", "json"]) as server:
        for number, headers in enumerate(SENT):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
                request = f"GET /v2/{number} HTTP/1.1\r\nHost: {server.host}\r\n{headers}\r\nConnection: close\r\n\r\n"
                sock.sendall(request.encode())
                assert read_response(sock)[0] in (401, 404)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    requests = [line["httpRequest"] for line in lines if "httpRequest" in line]
    addresses = [each["remoteIp"] for each in requests if each["requestUrl"] != "/v2/"]
    assert addresses == (["192.0.2.1"] if hops else ["127.0.0.1"]) * len(SENT)
