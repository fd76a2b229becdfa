"""Parsers of the values of settings.

Each returns the value of a text, or raises ValueError with the middle of a sentence that begins with the setting's name
and ends with ", not TEXT".
"""

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

MAX_NAMES: Final = 500
ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
PUBLIC_URL: Final = re.compile(f"{ORIGIN.pattern}/*", re.ASCII | re.IGNORECASE)
SOURCE_URL: Final = re.compile(f"{ORIGIN.pattern}(?:/[A-Za-z0-9._~%/-]{{0,500}})?", re.ASCII)
TOPIC: Final = re.compile(r"projects/[a-z0-9.:-]{1,100}/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII)
NOTE: Final = re.compile(r"projects/[a-z0-9.:-]{1,100}/notes/[A-Za-z0-9._~-]{1,100}", re.ASCII)
KEY_VERSION: Final = re.compile(
    r"projects/[a-z0-9.:-]{1,100}/locations/[a-z0-9-]{1,63}/keyRings/[A-Za-z0-9_-]{1,63}"
    r"/cryptoKeys/[A-Za-z0-9_-]{1,63}/cryptoKeyVersions/[0-9]{1,10}",
    re.ASCII,
)
REPOSITORY: Final = re.compile(
    r"(?=.{1,255}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII
)
"""Name of a repository (distribution-spec, "Pulling manifests")."""

NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._/-*")

UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
MAX_DURATION: Final = timedelta(days=36_500)
"""A time before now by more than the calendar has years cannot be computed."""


class Address(NamedTuple):
    """Where to listen: a host name or address, without brackets, and a TCP port."""

    host: str
    port: int


def address(text: str) -> Address:
    """Parse HOST:PORT; the host may be an IPv6 address in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError("is HOST:PORT")
    return Address(host.strip("[]"), int(port))


def optional_address(text: str) -> Address | None:
    """Parse HOST:PORT; None for "". Raises ValueError."""
    return address(text) if text else None


def folder(text: str) -> Path:
    """Return a folder's absolute path."""
    return Path(text).absolute()


def file(text: str) -> Path | None:
    """Return a file's path, or None for ""."""
    return Path(text) if text else None


def expand_home(path: str) -> str:
    """Return a path with `~` or `~USER` at its beginning as the home folder. Raises ValueError."""
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError("begins with a home folder that is known") from None


def public_url(text: str) -> str:
    """Return an address that clients see, without a slash at its end. Raises ValueError."""
    try:
        # It stands in headers, and no client takes other characters in a reference.
        valid = PUBLIC_URL.fullmatch(text) and urlsplit(text).port != 0
    except ValueError:
        valid = False
    if text and not valid:
        raise ValueError("is http(s)://HOST[:PORT], with only ASCII in it (xn--… for a host of other letters)")
    return text.rstrip("/")


def source_url(text: str) -> str:
    """Return an address without a slash at its end, or "" for "none". Raises ValueError."""
    if text == "none":
        return ""
    if not SOURCE_URL.fullmatch(text):
        raise ValueError("is none or http(s)://HOST[:PORT][/PATH]")
    return text.rstrip("/")


def repository(text: str) -> str:
    """Return the name of a repository. Raises ValueError."""
    if not REPOSITORY.fullmatch(text):
        raise ValueError("is the name of a repository, as in team/app")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Return origins as browsers write them (RFC 6454, section 6.2). Raises ValueError."""
    found = tuple(each.strip().rstrip("/").lower() for each in text.split(",") if each.strip())
    for origin in found:
        if len(found) > MAX_NAMES or not ORIGIN.fullmatch(origin):
            raise ValueError(
                "is a list of http(s)://HOST[:PORT] with commas between them (there is no value for all sites, whose"
                " pages would act with the credentials that browsers keep)"
            )
    return tuple(origin.removesuffix(":443" if origin.startswith("https") else ":80") for origin in found)


def names(text: str) -> tuple[str, ...]:
    """Parse a list of names, or patterns of them, with commas between them. Raises ValueError."""
    found = tuple(name.strip().rstrip("/") for name in text.split(",") if name.strip())
    if len(found) > MAX_NAMES or any(set(name) - NAME_CHARACTERS for name in found):
        raise ValueError(f"is a list of at most {MAX_NAMES} names with commas between them")
    return found


def topic(text: str) -> str:
    """Return the name of a Pub/Sub topic. Raises ValueError.

    https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
    """
    if text and not TOPIC.fullmatch(text):
        raise ValueError("is projects/PROJECT/topics/TOPIC")
    return text


def note(text: str) -> str:
    """Return the name of a note of Container Analysis. Raises ValueError."""
    if text and not NOTE.fullmatch(text):
        raise ValueError("is projects/PROJECT/notes/NOTE")
    return text


def key_version(text: str) -> str:
    """Return the name of a version of a key of Cloud KMS. Raises ValueError.

    https://cloud.google.com/kms/docs/resource-hierarchy#key_version_resource_id
    """
    if text and not KEY_VERSION.fullmatch(text):
        raise ValueError("is projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/NUMBER")
    return text


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse a list of networks in CIDR notation, with commas between them. Raises ValueError."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    try:
        if len(found) > MAX_NAMES or not all("/" in each for each in found):
            raise ValueError
        return tuple(ip_network(each, strict=False) for each in found)
    except ValueError:
        raise ValueError(
            f"is a list of at most {MAX_NAMES} networks with commas between them, as in 10.0.0.0/8"
        ) from None


def rules(text: str) -> tuple[str, ...]:
    """Parse a list of rules with commas between them."""
    return tuple(rule.strip() for rule in text.split(",") if rule.strip())


def choice(*choices: str) -> Callable[[str], str]:
    """Return a parser of one of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is {', '.join(choices[:-1])} or {choices[-1]}")
        return text

    return parse


def number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of a number within bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not minimum <= int(text) <= maximum:
            raise ValueError(f"is a number from {minimum} to {maximum}")
        return int(text)

    return parse


def mebibytes(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of a number of MiB within bounds; its values are bytes."""
    parse = number(minimum, maximum)
    return lambda text: parse(text) * 2**20


def duration(text: str) -> timedelta:
    """Parse a time such as 90d, 12h, 30m or 45s. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,7})([dhms])", text, re.ASCII)
    parsed = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
    if parsed is None or parsed > MAX_DURATION:
        raise ValueError(f"is a time such as 90d, 12h or 30m, of {MAX_DURATION.days}d at most")
    return parsed


def format_duration(value: timedelta) -> str:
    """Return a time as `duration` parses it, in the largest unit that gives a whole number."""
    seconds = int(value.total_seconds())
    for unit, word in UNITS.items():
        count, rest = divmod(seconds, int(timedelta(**{word: 1}).total_seconds()))
        if not rest and (count or unit == "s"):
            return f"{count}{unit}"
    return f"{seconds}s"


def interval(text: str) -> timedelta | None:
    """Parse a time above zero, or None for `off`. Raises ValueError."""
    if text == "off":
        return None
    try:
        found = duration(text)
    except ValueError:
        found = timedelta(0)
    if not found:
        raise ValueError("is a time such as 1h, or off")
    return found


def project_of(metadata: str) -> str:
    """Return the project of Google Cloud in the URL of the metadata store, or ""."""
    return urlsplit(metadata).netloc if metadata.startswith("firestore:") else ""
