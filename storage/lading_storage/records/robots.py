"""Record of a robot account."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lading_storage.records.core import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot(Record):
    """Robot account: a credential of the registry for a program. The id is its name.

    Attributes:
        mac: the HMAC of its secret, in hex.
        former_mac: the HMAC of the secret before the last rotation, valid until `former_until`, or "".
        repositories: patterns of the repositories that it may access.
        actions: the actions that it may perform there: pull, push.
        owner: the person or team responsible for it.
    """

    KIND: ClassVar[str] = "robots"
    NUMBER: ClassVar[int] = 7

    mac: str
    former_mac: str = ""
    former_until: datetime | None = None
    repositories: tuple[str, ...]
    actions: tuple[str, ...]
    owner: str = ""
    created: datetime
    expires: datetime | None = None
