"""Addresses that the registry connects to for others: of the public internet, and of networks that are allowed."""

from ipaddress import ip_address, ip_network

import pytest

from lading.addresses import Address, Addresses, AddressRefused, Unresolvable, is_public, parse_url

REFUSED_ADDRESSES = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
)

PUBLIC_ADDRESSES = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450::1",
)

REFUSED_URLS = (
    "",
    "example.com",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "http:///path",
    "http://",
    "https:example.com",
    "http:/example.com",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com /",
    " https://example.com/",
    "https://example.com/\n",
    "https://example.com/a\r\nHost: other",
    "https://exa\tmple.com/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:443x/",
    "https://example.com:\uff18\uff10/",
    "https://ex\u00e4mple.com/",
    "https://\u2488\u2488\u2488\u2488/",
    "http://127\u30020\u30020\u30021/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://1.2.3.4.5/",
    "http://256.0.0.1/",
    "http://example.0x7f/",
    "http://[::1/",
    "http://[::1]extra/",
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:127.0.0.1]:99999/",
    "http://[:::]/",
    "http://::1/",
    "http://-example.com/",
    "http://example-.com/",
    "http://exam..ple.com/",
    "http://.example.com/",
    f"http://{'a' * 64}.example.com/",
    f"https://example.com/{'a' * 2_000}",
)


def resolver(*addresses: str, names: list[str] | None = None) -> Addresses:
    """Addresses of a resolver that returns the same for each name, and records the names."""

    def resolve(host: str, port: int) -> list[Address]:
        if names is not None:
            names.append(host)
        return [ip_address(each) for each in addresses]

    return Addresses(resolve=resolve)


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_addresses_beside_the_public_internet_are_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused, match=r"^hook\.example resolves to .* the setting webhook-networks$"):
        resolver(address).resolve(parse_url("https://hook.example/"))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_addresses_of_the_public_internet_may_be_used(address: str) -> None:
    assert resolver(address).resolve(parse_url("https://hook.example/")) == [ip_address(address)]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_urls_that_parsers_read_differently_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        parse_url(url)
    assert "password" not in str(refused.value).replace("user, password and fragment", "")


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("HTTPS://Example.COM:443/A?b=C", "example.com", 443, "/A?b=C", "example.com"),
        ("http://example.com:8080?x", "example.com", 8080, "/?x", "example.com:8080"),
        ("http://example.com./", "example.com.", 80, "/", "example.com."),
        ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", 443, "/", "xn--exmple-cua.com"),
        ("http://my_host:1024/%20", "my_host", 1024, "/%20", "my_host:1024"),
        ("http://192.0.2.1/", "192.0.2.1", 80, "/", "192.0.2.1"),
        ("http://[2001:DB8:0::1]:8080/", "2001:db8::1", 8080, "/", "[2001:db8:0::1]:8080"),
    ],
)
def test_a_url_is_parsed(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = parse_url(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)
    assert target.scheme == url[: url.index(":")].lower()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://[::1]:8080/", "http://169.254.169.254/latest/"])
def test_addresses_in_urls_are_checked_as_those_of_names(url: str) -> None:
    with pytest.raises(AddressRefused, match=r"^the host is [0-9a-f.:]+, which is no address of the public internet"):
        Addresses().resolve(parse_url(url))


def test_a_network_can_be_allowed_and_nothing_else_is() -> None:
    addresses = Addresses([ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")])
    assert addresses.is_allowed(ip_address("10.1.2.3"))
    assert addresses.is_allowed(ip_address("fd00:1::7"))
    for refused in ("10.2.0.1", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::", "fd00:2::7", "127.0.0.1"):
        assert not addresses.is_allowed(ip_address(refused)), refused


def test_only_the_public_ones_of_several_addresses_are_used() -> None:
    mixed = resolver("127.0.0.1", "1.1.1.1", "fd00::1", "1.1.1.1", "2606:4700::1111")
    assert list(map(str, mixed.resolve(parse_url("https://hook.example/")))) == ["1.1.1.1", "2606:4700::1111"]


def test_a_name_is_resolved_once() -> None:
    names: list[str] = []
    resolver("1.1.1.1", names=names).resolve(parse_url("https://hook.example/"))
    assert names == ["hook.example"]


def test_a_name_without_an_address_is_no_refusal() -> None:
    def fail(host: str, port: int) -> list[Address]:
        raise OSError(-2, "Name or service not known")

    for addresses in (Addresses(resolve=fail), resolver()):
        with pytest.raises(Unresolvable, match=r"^hook\.example cannot be resolved: "):
            addresses.resolve(parse_url("https://hook.example/"))
