"""Headers of a user."""

from collections.abc import Callable

Headers = Callable[..., dict[str, str]]
