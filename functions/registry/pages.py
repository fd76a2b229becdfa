"""Pages of a listing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a listing, and behind which id the next page begins: "" where there is none."""

    items: Sequence[T]
    next: str = ""
