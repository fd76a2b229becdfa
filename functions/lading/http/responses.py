"""Responses. The only module that renders errors as JSON.

werkzeug's Response has many more features, and took as much time as all the rest of a pull of a manifest.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

from lading.registry.errors import RANGE_UNSATISFIABLE, TOO_MANY_LOGINS, RegistryError
from lading_storage.chunks import close_chunks

RETRY_AFTER: Final = "5"
"""Value of Retry-After for temporary errors, in seconds."""

MAX_WARNINGS: Final = 5
"""Warnings of one response, each of some 300 bytes."""

TEMPORARY_STATUSES: Final = (503, 507)


class Response:
    """An HTTP response. It owns its content, which `close` closes.

    status   the status code
    headers  names and values, in the order in which they are sent, without Content-Length
    content  the whole content, or an iterable of chunks where it must not be in memory at once. It may be replaced by
             an iterable over the same bytes; what the response was created with remains the one that is closed.
    size     bytes of the content; a response to HEAD has it as well
    """

    __slots__ = ("_close_callbacks", "_owned", "content", "headers", "size", "status")

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] = b"",
        size: int | None = None,
    ) -> None:
        """Create a response; content in chunks needs its `size`.

        Raises ValueError for a header with a line break, after closing the content.
        """
        self.status = status
        self.headers: list[tuple[str, str]] = []
        self.content = content
        self.size = len(content) if size is None else size  # type: ignore[arg-type]  # content in chunks has a size
        self._owned = None if isinstance(content, bytes) else content
        self._close_callbacks: list[Callable[[], object]] = []
        if headers:
            try:
                self.add(headers)
            except ValueError:
                self.close()
                raise

    def add(self, headers: Mapping[str, str]) -> None:
        """Add headers; existing ones of the same name stay. Raises ValueError for a header with a line break."""
        for value in headers.values():
            if "\n" in value or "\r" in value:
                raise ValueError(f"a header of more than one line: {value!r}")
        self.headers += headers.items()

    def call_on_close(self, callback: Callable[[], object]) -> None:
        """Register a callback for the time when the response has been sent, or was abandoned."""
        self._close_callbacks.append(callback)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the chunks."""
        return iter([self.content] if isinstance(self.content, bytes) else self.content)

    def discard_content(self) -> None:
        """Close the content, and send none, as in a response to HEAD; `size` remains."""
        self.content = b""
        self._close_content()

    def close(self) -> None:
        """Close the content, and run the callbacks in the order of their registration, even where one raises.

        Only the first call does so. Whatever has a response calls it: a server when the response is sent, or its client
        has disconnected; the app where it sends another response instead.
        """
        if self._owned is None and not self._close_callbacks:
            return
        with ExitStack() as callbacks:
            while self._close_callbacks:
                callbacks.callback(self._close_callbacks.pop())
            callbacks.callback(self._close_content)

    def _close_content(self) -> None:
        content, self._owned = self._owned, None
        if content is not None:
            close_chunks(content)


def error_response(error: RegistryError) -> Response:
    """Return the response for a refused request."""
    descriptor = error.descriptor
    response = json_response(error_body(error), descriptor.status)
    if descriptor is RANGE_UNSATISFIABLE:
        response.add({"Content-Range": f"bytes */{error.detail['size']}"})
    if descriptor.code == TOO_MANY_LOGINS.code:
        response.add({"Retry-After": str(error.detail["retry_after"])})
    if descriptor.status in TEMPORARY_STATUSES:
        response.add({"Retry-After": RETRY_AFTER})
    return response


def error_body(error: RegistryError) -> dict[str, Any]:
    """Return an error as a JSON object (distribution-spec, "Error Codes")."""
    entry = {"code": error.descriptor.code, "message": error.descriptor.message}
    if error.detail is not None:
        entry["detail"] = error.detail
    return {"errors": [entry]}


def json_response(value: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """Return a response with `value` as JSON."""
    return Response(status, {"Content-Type": media_type}, json.dumps(value).encode())


def with_warnings(response: Response, texts: Iterable[str]) -> Response:
    """Add a Warning header for each of some texts, of which the first MAX_WARNINGS are sent, and return the response.

    A change may concern a hundred tags, about which mostly the same is to be said. The distribution-spec limits these
    headers to 4096 bytes in all ("Warnings").
    """
    for text in list(dict.fromkeys(texts))[:MAX_WARNINGS]:
        response.add({"Warning": warning_header(text)})
    return response


def warning_header(text: str) -> str:
    """Return the value of a Warning header (RFC 7234, section 5.5), in which all but printable ASCII is replaced."""
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
    return '299 - "' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
