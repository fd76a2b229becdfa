"""The grammar of repository names, tags and references (distribution-spec, "Pulling manifests")."""

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
from lading_storage.digests import is_digest, is_well_formed

MAX_NAME: Final = 255
"""Clients limit host and name together to 255 characters; Firestore limits an id to 1,500 bytes."""

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_AS_OF: Final = re.compile(r"(.+)\.asof-([0-9]{8}T[0-9]{6}(?:\.[0-9]{1,6})?Z)")


def is_repository(name: str) -> bool:
    """Whether `name` can be a repository's."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def is_tag(text: str) -> bool:
    """Whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def check_repository(name: str) -> None:
    """Raises NAME_INVALID where `name` cannot be a repository's."""
    if not is_repository(name):
        raise RegistryError(NAME_INVALID, {"name": name[:MAX_NAME]})


def check_tag(tag: str, error: ErrorDescriptor = TAG_INVALID) -> None:
    """Raises `error` where `tag` cannot be a tag."""
    if not is_tag(tag):
        raise RegistryError(error, {"tag": tag[:MAX_NAME], "reason": "malformed tag"})


def check_digest(digest: str, error: ErrorDescriptor = DIGEST_INVALID) -> None:
    """Raises `error` where `digest` is malformed or of an algorithm that the registry does not take.

    What is only looked up is not there (404) under a digest that nothing can have: `error` says of what.
    """
    if not is_digest(digest):
        raise RegistryError(error, {"digest": digest[:MAX_NAME], "reason": "malformed or unsupported digest"})


def check_subject(digest: str) -> None:
    """Raise DIGEST_INVALID where `digest` is malformed: a subject may be of an algorithm that the registry lacks."""
    if not is_well_formed(digest):
        raise RegistryError(DIGEST_INVALID, {"digest": digest[:MAX_NAME], "reason": "malformed digest"})


def is_digest_reference(reference: str, error: ErrorDescriptor | None = None) -> bool:
    """Whether a reference is a digest and not a tag: no tag has a colon.

    Raises `error` where it can be neither; without one DIGEST_INVALID or TAG_INVALID.
    """
    if ":" in reference:
        check_digest(reference, error or DIGEST_INVALID)
        return True
    check_tag(reference, error or TAG_INVALID)
    return False


def parse_as_of(tag: str) -> tuple[str, datetime] | None:
    """The tag and the time that `TAG.asof-20261101T120000Z` names; None for any other tag.

    The seconds may have a fraction, as in `20261101T120000.123456Z`: the history tells times to the microsecond.
    """
    found = _AS_OF.fullmatch(tag)
    if found is None:
        return None
    try:
        form = "%Y%m%dT%H%M%S.%fZ" if "." in found[2] else "%Y%m%dT%H%M%SZ"
        return found[1], datetime.strptime(found[2], form).replace(tzinfo=UTC)
    except ValueError:
        # No such day: a name like any other.
        return None


def check_not_reserved(tag: str) -> None:
    """Raises TAG_RESERVED for a name that stands for what a tag was at some time."""
    if parse_as_of(tag) is not None:
        raise RegistryError(TAG_RESERVED, {"tag": tag})
