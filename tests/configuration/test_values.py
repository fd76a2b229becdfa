"""Values of settings that would only fail later, in a request or in a job, are refused when settings are parsed."""

import pytest

from lading.settings import SettingsError, load_settings


@pytest.mark.parametrize("url", ["http://[", "http://h#x", " http://h", "http://h:0", "http://h:65536", "http://u@h"])
def test_an_address_that_no_client_can_use_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^--url is http\(s\)://HOST\[:PORT\]"):
        load_settings({}, {"url": url})


@pytest.mark.parametrize("url", ["https://registry.example.com/", "http://[::1]:5000", "HTTP://h:5000"])
def test_addresses(url: str) -> None:
    assert load_settings({}, {"url": url}).url == url.rstrip("/")


@pytest.mark.parametrize("time", ["36501d", "9999999d", "9999999h"])
def test_a_time_that_the_calendar_does_not_have_is_refused(time: str) -> None:
    """Every record of a collection would fail: no date is that long ago."""
    with pytest.raises(SettingsError, match=r"^--undelete is a time such as 90d, 12h or 30m, of 36500d at most"):
        load_settings({}, {"undelete": time})


def test_a_port_of_other_digits_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match=r"^--address is HOST:PORT, not"):
        load_settings({}, {"address": "localhost:²"})


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("vulnerability-source", "ftp://mirror.example.com"),
        ("vulnerability-source", "https://user@mirror.example.com"),
        ("vulnerability-source", "https://mirror.example.com/?list"),
        ("vulnerability-repository", "Team/data"),
        ("vulnerability-repository", "data:latest"),
        ("vulnerability-repository", "a" * 256),
    ],
)
def test_where_no_vulnerability_data_can_be_is_refused(option: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--{option} is"):
        load_settings({}, {option: text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("none", ""), ("https://mirror.example.com/osv/", "https://mirror.example.com/osv")],
)
def test_a_source_of_vulnerability_data(text: str, expected: str) -> None:
    assert load_settings({}, {"vulnerability-source": text}).vulnerability_source == expected
