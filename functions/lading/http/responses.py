"""Answers: what goes back to a client. Errors as JSON are written here alone.

werkzeug's Response does this and much more, and took as long as all else in a pull of a manifest.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

from lading.registry.errors import RANGE_UNSATISFIABLE, TOO_MANY_LOGINS, RegistryError

RETRY_AFTER: Final = "5"
"""Seconds, with an answer that tells of a state that passes."""

TEMPORARY_STATUSES: Final = (503, 507)


class Response:
    """One answer.

    status   of HTTP
    headers  names and values, in the order in which they are sent; Content-Length is not among them
    content  all of it, or, where it must not be in memory at once, its pieces
    size     bytes of the content, which an answer to HEAD tells as well
    """

    __slots__ = ("_close_callbacks", "content", "headers", "size", "status")

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
        self._close_callbacks: list[Callable[[], object]] = []
        if headers:
            self.add(headers)

    def add(self, headers: Mapping[str, str]) -> None:
        """Add headers, beside those of the same name. Raises ValueError where one would not be one line."""
        for value in headers.values():
            if "\n" in value or "\r" in value:
                raise ValueError(f"a header of more than one line: {value!r}")
        self.headers += headers.items()

    def call_on_close(self, call: Callable[[], object]) -> None:
        """Call this when the answer has gone out, or never will."""
        self._close_callbacks.append(call)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        return iter([self.content] if isinstance(self.content, bytes) else self.content)

    def close(self) -> None:
        """Make the calls of `call_on_close`, in their order, each of them even where one before it raises."""
        with ExitStack() as ends:
            for call in reversed(self._close_callbacks):
                ends.callback(call)


def error_response(raised: RegistryError) -> Response:
    """The answer to a request that was refused."""
    row = raised.descriptor
    answer = json_response(error_body(raised), row.status)
    if row is RANGE_UNSATISFIABLE:
        answer.add({"Content-Range": f"bytes */{raised.detail['size']}"})
    if row.code == TOO_MANY_LOGINS.code:
        answer.add({"Retry-After": str(raised.detail["retry_after"])})
    if row.status in TEMPORARY_STATUSES:
        answer.add({"Retry-After": RETRY_AFTER})
    return answer


def error_body(raised: RegistryError) -> dict[str, Any]:
    """Return an error as JSON (distribution-spec, "Error Codes")."""
    told = {"code": raised.descriptor.code, "message": raised.descriptor.message}
    if raised.detail is not None:
        told["detail"] = raised.detail
    return {"errors": [told]}


def json_response(value: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """`value` as the body of an answer."""
    return Response(status, {"Content-Type": media_type}, json.dumps(value).encode())
