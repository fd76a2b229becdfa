"""Answers: what goes back to a client. Errors as JSON are written here alone.

werkzeug's Response does this and much more, and took as long as all else in a pull of a manifest.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

from functions.registry.errors import LOGINS_TOO_MANY, RANGE_UNSATISFIABLE, RegistryError

RETRY_AFTER: Final = "5"
"""Seconds, with an answer that tells of a state that passes."""

TEMPORARY: Final = (503, 507)


class Answer:
    """One answer.

    status   of HTTP
    headers  names and values, in the order in which they are sent; Content-Length is not among them
    content  all of it, or, where it must not be in memory at once, its pieces
    size     bytes of the content, which an answer to HEAD tells as well
    """

    __slots__ = ("_ends", "content", "headers", "size", "status")

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] = b"",
        size: int | None = None,
    ) -> None:
        """Content in pieces comes with its size. Raises ValueError where a header would not be one line."""
        self.status = status
        self.headers: list[tuple[str, str]] = []
        self.content = content
        self.size = len(content) if size is None else size  # type: ignore[arg-type]  # what is in pieces has a size
        self._ends: list[Callable[[], object]] = []
        if headers:
            self.add(headers)

    def add(self, headers: Mapping[str, str]) -> None:
        """Add headers, beside those of the same name. Raises ValueError where one would not be one line."""
        for value in headers.values():
            if "\n" in value or "\r" in value:
                raise ValueError(f"a header of more than one line: {value!r}")
        self.headers += headers.items()

    def at_the_end(self, call: Callable[[], object]) -> None:
        """Call this when the answer has gone out, or never will."""
        self._ends.append(call)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        return iter([self.content] if isinstance(self.content, bytes) else self.content)

    def close(self) -> None:
        """Make the calls of `at_the_end`, in their order, each of them even where one before it raises."""
        with ExitStack() as ends:
            for call in reversed(self._ends):
                ends.callback(call)


def error(raised: RegistryError) -> Answer:
    """The answer to a request that was refused."""
    row = raised.row
    answer = as_json(described(raised), row.status)
    if row is RANGE_UNSATISFIABLE:
        answer.add({"Content-Range": f"bytes */{raised.detail['size']}"})
    if row.code == LOGINS_TOO_MANY.code:
        answer.add({"Retry-After": str(raised.detail["retry_after"])})
    if row.status in TEMPORARY:
        answer.add({"Retry-After": RETRY_AFTER})
    return answer


def described(raised: RegistryError) -> dict[str, Any]:
    """Return an error as JSON (distribution-spec, "Error Codes")."""
    told = {"code": raised.row.code, "message": raised.row.message}
    if raised.detail is not None:
        told["detail"] = raised.detail
    return {"errors": [told]}


def as_json(value: Any, status: int = 200, media_type: str = "application/json") -> Answer:
    """`value` as the body of an answer."""
    return Answer(status, {"Content-Type": media_type}, json.dumps(value).encode())
