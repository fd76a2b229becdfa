"""Explanation: what policies decide about an image, and why, for `lading why`. Nothing is recorded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
