"""The values of settings: each is read from its text, or refused by a ValueError with a sentence that says why."""

import re
from typing import Final
from urllib.parse import urlsplit

MAX_NAMES: Final = 500
ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._/-*")


def address(text: str) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT; the host may be an IPv6 address in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--address is HOST:PORT, not {text}")
    return host.strip("[]"), int(port)


def public_url(text: str) -> str:
    """Return an address that clients see, without a slash at its end. Raises ValueError."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query):
        raise ValueError(f"--url is http(s)://HOST[:PORT], not {text}")
    if not text.isascii():
        # It stands in headers, and no client takes such a host in a reference.
        raise ValueError(f"--url has only ASCII in it (xn--… for a host of other letters), not {text}")
    return text.rstrip("/")


def origins(text: str) -> tuple[str, ...]:
    """Return origins as browsers write them (RFC 6454, section 6.2). Raises ValueError."""
    found = tuple(each.strip().rstrip("/").lower() for each in text.split(",") if each.strip())
    for origin in found:
        if len(found) > MAX_NAMES or not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"--cors-origins is http(s)://HOST[:PORT] and more of them with commas between them, not {origin[:80]};"
                " there is none for all sites, whose pages would act with the credentials that browsers keep"
            )
    return tuple(origin.removesuffix(":443" if origin.startswith("https") else ":80") for origin in found)


def names(option: str, text: str) -> tuple[str, ...]:
    """Return names, or patterns of them, that stand with commas between them. Raises ValueError."""
    found = tuple(name.strip().rstrip("/") for name in text.split(",") if name.strip())
    if len(found) > MAX_NAMES or any(set(name) - NAME_CHARACTERS for name in found):
        raise ValueError(f"--{option} is at most {MAX_NAMES} names with commas between them, not {text[:80]}")
    return found


def rules(text: str) -> tuple[str, ...]:
    """Return rules with commas between them."""
    return tuple(rule.strip() for rule in text.split(",") if rule.strip())


def choice(option: str, text: str, choices: tuple[str, ...]) -> str:
    """Return one of some words. Raises ValueError."""
    if text not in choices:
        raise ValueError(f"--{option} is {', '.join(choices[:-1])} or {choices[-1]}, not {text}")
    return text


def number(option: str, text: str, minimum: int, maximum: int) -> int:
    """Return a number within its bounds. Raises ValueError."""
    if not text.isdigit() or not minimum <= int(text) <= maximum:
        raise ValueError(f"--{option} is a number from {minimum} to {maximum}, not {text}")
    return int(text)
