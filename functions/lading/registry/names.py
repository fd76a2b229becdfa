"""Grammar of repository names, tags and references (distribution-spec, "Pulling manifests")."""

import re
from datetime import UTC, datetime
from typing import Final

from lading.registry.errors import (
    DIGEST_INVALID,
    NAME_INVALID,
    TAG_INVALID,
    TAG_RESERVED,
    ErrorDescriptor,
    RegistryError,
)
from lading_storage.digests import ALGORITHMS, is_digest, is_well_formed

MAX_NAME: Final = 255
"""Clients limit host and name together to 255 characters; Firestore limits an id to 1,500 bytes."""

MIN_PREFIX: Final = 4
"""Hexadecimal digits with which a digest can be named where no other digest of its repository begins with them."""

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_AS_OF: Final = re.compile(r"(.+)\.asof-([0-9]{8}T[0-9]{6}(?:\.[0-9]{1,6})?Z)")


def is_repository(name: str) -> bool:
    """Return whether `name` is a valid repository name."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def is_tag(text: str) -> bool:
    """Return whether `text` is a valid tag."""
    return _TAG.fullmatch(text) is not None


def check_repository(name: str) -> None:
    """Raise NAME_INVALID unless `name` is a valid repository name."""
    if not is_repository(name):
        raise RegistryError(NAME_INVALID, {"name": name[:MAX_NAME]})


def check_tag(tag: str, error: ErrorDescriptor = TAG_INVALID) -> None:
    """Raise `error` unless `tag` is a valid tag."""
    if not is_tag(tag):
        raise RegistryError(error, {"tag": tag[:MAX_NAME], "reason": "malformed tag"})


def check_digest(digest: str, error: ErrorDescriptor = DIGEST_INVALID) -> None:
    """Raise `error` if `digest` is malformed, or its algorithm is not supported.

    A lookup passes the 404 error of what it looks up: nothing can exist under such a digest.
    """
    if not is_digest(digest):
        raise RegistryError(error, {"digest": digest[:MAX_NAME], "reason": "malformed or unsupported digest"})


def check_digest_prefix(text: str) -> None:
    """Raise DIGEST_INVALID unless `text` is a digest, or its algorithm and first MIN_PREFIX or more digits."""
    algorithm, _, digits = text.partition(":")
    length = ALGORITHMS.get(algorithm, 0)
    if not MIN_PREFIX <= len(digits) <= length or not is_digest(f"{algorithm}:{digits.ljust(length, '0')}"):
        raise RegistryError(DIGEST_INVALID, {"digest": text[:MAX_NAME], "reason": "malformed or unsupported digest"})


def check_subject(digest: str) -> None:
    """Raise DIGEST_INVALID if `digest` is malformed; a subject may use an algorithm that is not supported."""
    if not is_well_formed(digest):
        raise RegistryError(DIGEST_INVALID, {"digest": digest[:MAX_NAME], "reason": "malformed digest"})


def is_digest_reference(reference: str, error: ErrorDescriptor | None = None) -> bool:
    """Return whether a reference is a digest and not a tag: no tag has a colon.

    Raises:
        RegistryError: the reference is neither. It is `error`; if that is None, DIGEST_INVALID or TAG_INVALID.
    """
    if ":" in reference:
        check_digest(reference, error or DIGEST_INVALID)
        return True
    check_tag(reference, error or TAG_INVALID)
    return False


def parse_as_of(tag: str) -> tuple[str, datetime] | None:
    """Return the tag and the time of `TAG.asof-20261101T120000Z`, or None for any other tag.

    The seconds may have a fraction, as in `20261101T120000.123456Z`: the history has a resolution of one microsecond.
    """
    match = _AS_OF.fullmatch(tag)
    if match is None:
        return None
    try:
        time_format = "%Y%m%dT%H%M%S.%fZ" if "." in match[2] else "%Y%m%dT%H%M%SZ"
        return match[1], datetime.strptime(match[2], time_format).replace(tzinfo=UTC)
    except ValueError:
        # The date does not exist, so this is an ordinary tag.
        return None


def check_not_reserved(tag: str) -> None:
    """Raise TAG_RESERVED if a tag has the form `TAG.asof-TIME`."""
    if parse_as_of(tag) is not None:
        raise RegistryError(TAG_RESERVED, {"tag": tag})
