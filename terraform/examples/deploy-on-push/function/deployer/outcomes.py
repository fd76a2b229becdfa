"""What becomes of a deployment."""

from enum import StrEnum
from typing import Final

MAX_ATTEMPTS: Final = 5
"""Attempts to update a target that others update at the same time, each from a new reading. After that, the message is
delivered again later."""


class Outcome(StrEnum):
    """Result of one deployment.

    DEPLOYED  the target has been updated to the event's digest
    CURRENT   nothing to do: this event or a later one of the same tag was deployed before
    """

    DEPLOYED = "deployed"
    CURRENT = "current"


class TargetError(Exception):
    """A target is not as its rule says. The message says what to change."""
