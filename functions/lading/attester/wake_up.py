"""What a push request of Pub/Sub is about: the images that an event of the registry may have changed.

    {"message": {"data": BASE64 of a CloudEvent}}    https://cloud.google.com/pubsub/docs/push#receive_push

Nothing of an event is believed: it only says which images to ask the registry about.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Final

MAX_BODY: Final = 256 * 1024
"""Bytes of a request. An event has some hundreds."""

REPOSITORY: Final = re.compile(
    r"(?=.{1,255}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII
)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
SIGNATURE_TAG: Final = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})(?:\.[a-z]{1,16})?", re.ASCII)
"""The tag of a signature names the digest of what it signs (cosign, and distribution-spec "Referrers Tag Schema")."""


class InvalidMessage(Exception):
    """A message that no delivery can make valid. It is acknowledged: a repetition would fail as well."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Images of one repository. Of digests, the registry knows what they are."""

    repository: str
    digests: tuple[str, ...]


def wake_up_of(body: bytes) -> WakeUp | None:
    """Return what a request is about, or None for an event about no image.

    Raises:
        InvalidMessage: the request holds no event of a registry.
    """
    try:
        event = json.loads(base64.b64decode(json.loads(body)["message"]["data"], validate=True))
        data = event["data"]
        repository, digest, tag = (_text(data, name) for name in ("repository", "digest", "tag"))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InvalidMessage(f"the message is no event of a registry: {type(error).__name__}") from None
    if not REPOSITORY.fullmatch(repository) or (digest and not DIGEST.fullmatch(digest)):
        raise InvalidMessage("the event names no repository, or a digest that is none")
    signed = SIGNATURE_TAG.fullmatch(tag)
    digests = [digest, signed[1].replace("-", ":", 1) if signed else ""]
    found = tuple(each for each in digests if each)
    return WakeUp(repository, found) if found else None


def _text(data: Any, name: str) -> str:
    value = data.get(name, "") if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise TypeError(name)
    return value
