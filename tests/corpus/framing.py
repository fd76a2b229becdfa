"""Requests over HTTP/1.1 whose end two programs might see in different places, and what `lading serve` makes of each.

Each row is sent in one piece, with two more requests after it: SMUGGLED, answered 200, and LAST, answered 405. So the
statuses say what the server took for a request. A row that is refused, or whose end cannot be known, has one answer,
and the connection ends with it. Where the end is certain, all three are answered.
"""

from typing import Final

from lading_storage.digests import digest_of

SMUGGLED: Final = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST: Final = b"DELETE /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

BODY: Final = b"abc"
PUSH: Final = f"POST /v2/a/blobs/uploads/?digest={digest_of(BODY)} HTTP/1.1".encode()
"""Answered 201 where the body was taken for BODY, and nothing else."""

ABSENT: Final = b"PATCH /v2/a/blobs/uploads/absent HTTP/1.1"
"""Answered 404, and its body is drained."""

LENGTH_OF_SMUGGLED: Final = b"Content-Length: %d\r\n" % len(SMUGGLED)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
EMPTY: Final = b"0\r\n\r\n"
ONE_CHUNK: Final = b"3\r\nabc\r\n" + EMPTY


def request(line: bytes, headers: bytes, body: bytes = b"") -> bytes:
    """A request with a Host header."""
    return line + b"\r\nHost: localhost\r\n" + headers + b"\r\n" + body


def push(headers: bytes, body: bytes = BODY) -> bytes:
    """A push of BODY."""
    return request(PUSH, headers, body)


def get(headers: bytes, body: bytes = b"") -> bytes:
    """A request that needs no body."""
    return request(b"GET /v2/ HTTP/1.1", headers, body)


REFUSED: Final = (400,)
TOO_LARGE: Final = (431,)
PUSHED: Final = (201, 200, 405)
READ: Final = (200, 200, 405)
AMBIGUOUS: Final = (404,)

ROWS: Final[dict[str, tuple[tuple[int, ...], bytes]]] = {
    # Two lengths.
    "a length and chunks": (AMBIGUOUS, request(ABSENT, b"Content-Length: 5\r\n" + CHUNKED, EMPTY)),
    "chunks and a length": (AMBIGUOUS, request(ABSENT, CHUNKED + b"Content-Length: 4\r\n", ONE_CHUNK)),
    "a length of the next request, and chunks": (AMBIGUOUS, request(ABSENT, LENGTH_OF_SMUGGLED + CHUNKED, EMPTY)),
    "two lengths that differ": (REFUSED, push(b"Content-Length: 3\r\nContent-Length: 0\r\n")),
    "two lengths that differ, the other way": (REFUSED, push(b"Content-Length: 0\r\nContent-Length: 3\r\n")),
    "the same length twice": (PUSHED, push(b"Content-Length: 3\r\nContent-Length: 3\r\n")),
    "a list of one length": (REFUSED, push(b"Content-Length: 3, 3\r\n")),
    "a list of lengths": (REFUSED, push(b"Content-Length: 0, 3\r\n")),
    # Lengths that other parsers read as numbers.
    "a length with a plus": (REFUSED, push(b"Content-Length: +3\r\n")),
    "a length below zero": (REFUSED, push(b"Content-Length: -1\r\n")),
    "a hexadecimal length": (REFUSED, push(b"Content-Length: 0x3\r\n")),
    "an empty length": (REFUSED, push(b"Content-Length: \r\n")),
    "a length with a fraction": (REFUSED, push(b"Content-Length: 3.0\r\n")),
    "a length with an exponent": (REFUSED, push(b"Content-Length: 3e0\r\n")),
    "a length with an underscore": (REFUSED, push(b"Content-Length: 0_3\r\n")),
    "a length of other digits": (REFUSED, push("Content-Length: \u0663\r\n".encode())),
    "a length of 2^64": (REFUSED, push(b"Content-Length: 18446744073709551616\r\n")),
    "a length of 2^64 - 1": (TOO_LARGE, push(b"Content-Length: 18446744073709551615\r\n")),
    "a length of 2^63": (AMBIGUOUS, request(ABSENT, b"Content-Length: 9223372036854775808\r\n")),
    "a length with zeros": (PUSHED, push(b"Content-Length: 0003\r\n")),
    "a length between blanks": (PUSHED, push(b"Content-Length:\t 3 \t\r\n")),
    "a length after a vertical tab": (REFUSED, push(b"Content-Length: \x0b3\r\n")),
    "a length before a null byte": (REFUSED, push(b"Content-Length: 3\x00\r\n")),
    "a length before a space and a colon": (REFUSED, push(b"Content-Length : 3\r\n")),
    # Codings that other parsers take for chunked, or not.
    "identity": (REFUSED, push(b"Transfer-Encoding: identity\r\n")),
    "chunked below identity": (REFUSED, push(b"Transfer-Encoding: chunked, identity\r\n", ONE_CHUNK)),
    "identity below chunked": (PUSHED, push(b"Transfer-Encoding: identity, chunked\r\n", ONE_CHUNK)),
    "a coding like chunked": (REFUSED, push(b"Transfer-Encoding: xchunked\r\n", ONE_CHUNK)),
    "chunked twice": (PUSHED, push(CHUNKED + CHUNKED, ONE_CHUNK)),
    "chunked in other letters": (PUSHED, push(b"TRANSFER-encoding: ChUnKeD\r\n", ONE_CHUNK)),
    "chunked in quotes": (REFUSED, push(b'Transfer-Encoding: "chunked"\r\n', ONE_CHUNK)),
    "chunked with a parameter": (REFUSED, push(b"Transfer-Encoding: chunked;q=1\r\n", ONE_CHUNK)),
    "chunked after a vertical tab": (REFUSED, push(b"Transfer-Encoding: \x0bchunked\r\n", ONE_CHUNK)),
    "chunked before a null byte": (REFUSED, push(b"Transfer-Encoding: chunked\x00\r\n", ONE_CHUNK)),
    "chunked before a space and a colon": (REFUSED, push(b"Transfer-Encoding : chunked\r\n", ONE_CHUNK)),
    "chunked on a folded line": (REFUSED, push(b"Transfer-Encoding:\r\n chunked\r\n", ONE_CHUNK)),
    "chunked in HTTP/1.0": (REFUSED, request(PUSH.replace(b"/1.1", b"/1.0"), CHUNKED, ONE_CHUNK)),
    "chunked after a bare CR": (REFUSED, push(b"X: y\rTransfer-Encoding: chunked\r\n", ONE_CHUNK)),
    "chunked after a bare LF": (PUSHED, push(b"X: y\nTransfer-Encoding: chunked\r\n", ONE_CHUNK)),
    "a folded length": (REFUSED, push(b"X: y\r\n Content-Length: 3\r\n")),
    # Names that other programs map to those of the headers that count.
    "a coding with an underscore": (PUSHED, push(b"Transfer_Encoding: chunked\r\nContent-Length: 3\r\n")),
    "a length with an underscore in its name": (PUSHED, push(b"Content_Length: 9\r\nContent-Length: 3\r\n")),
    # Chunks.
    "a chunk below zero": (AMBIGUOUS, request(ABSENT, CHUNKED, b"-1\r\n\r\n")),
    "a chunk with 0x": (AMBIGUOUS, request(ABSENT, CHUNKED, b"0x3\r\nabc\r\n" + EMPTY)),
    "a chunk with a plus": (AMBIGUOUS, request(ABSENT, CHUNKED, b"+3\r\nabc\r\n" + EMPTY)),
    "a chunk of 2^64": (AMBIGUOUS, request(ABSENT, CHUNKED, b"10000000000000000\r\n")),
    "a chunk of 2^64 - 1": (AMBIGUOUS, request(ABSENT, CHUNKED, b"ffffffffffffffff\r\n")),
    "a chunk with zeros": (PUSHED, push(CHUNKED, b"00000000000000000000003\r\nabc\r\n" + EMPTY)),
    "a chunk before a space": (PUSHED, push(CHUNKED, b"3 \r\nabc\r\n" + EMPTY)),
    "a chunk after a space": (AMBIGUOUS, request(ABSENT, CHUNKED, b" 3\r\nabc\r\n" + EMPTY)),
    "a chunk of no digit": (AMBIGUOUS, request(ABSENT, CHUNKED, b"g\r\nabc\r\n" + EMPTY)),
    "a chunk without a size": (AMBIGUOUS, request(ABSENT, CHUNKED, b"\r\nabc\r\n" + EMPTY)),
    "chunks with bare LF": (AMBIGUOUS, request(ABSENT, CHUNKED, b"3\nabc\n0\n\n")),
    "a chunk without an end": (AMBIGUOUS, request(ABSENT, CHUNKED, b"3\r\nabc" + EMPTY)),
    "a chunk that is longer than it says": (AMBIGUOUS, request(ABSENT, CHUNKED, b"3\r\nabcdef\r\n" + EMPTY)),
    "a chunk with an extension": (PUSHED, push(CHUNKED, b"3;a=b\r\nabc\r\n" + EMPTY)),
    "a chunk's extension with a bare LF": (AMBIGUOUS, request(ABSENT, CHUNKED, b"3;a\n\r\nabc\r\n" + EMPTY)),
    "a chunk's extension of 20 kB": (
        AMBIGUOUS,
        request(ABSENT, CHUNKED, b"3;" + b"a" * 20_000 + b"\r\nabc\r\n" + EMPTY),
    ),
    "a trailer that says a length": (PUSHED, push(CHUNKED, b"3\r\nabc\r\n0\r\nContent-Length: 50\r\n\r\n")),
    "a trailer that says chunked": (PUSHED, push(CHUNKED, b"3\r\nabc\r\n0\r\n" + CHUNKED + b"\r\n")),
    "a trailer of 40 kB": (AMBIGUOUS, request(ABSENT, CHUNKED, b"0\r\n" + b"X-A: y\r\n" * 5_000 + b"\r\n")),
    # Bodies where none is wanted.
    "GET with a length": (READ, get(b"Content-Length: 3\r\n", BODY)),
    "GET with chunks": (READ, get(CHUNKED, ONE_CHUNK)),
    "GET with a length that covers the next request": ((200, 405), get(LENGTH_OF_SMUGGLED)),
    # Lines and headers.
    "an old version": (REFUSED, b"GET /v2/\r\n\r\n"),
    "a version that is none": (REFUSED, request(b"GET /v2/ HTTP/1.2", b"")),
    "a version of HTTP/2": (REFUSED, request(b"GET /v2/ HTTP/2.0", b"")),
    "two spaces": (REFUSED, request(b"GET  /v2/ HTTP/1.1", b"")),
    "tabs for spaces": (REFUSED, request(b"GET\t/v2/\tHTTP/1.1", b"")),
    "a space in the target": (REFUSED, request(b"GET /v2/ /v2/ HTTP/1.1", b"")),
    "a null byte in the target": (REFUSED, request(b"GET /v2/\x00 HTTP/1.1", b"")),
    "a header before its name": (REFUSED, b"GET /v2/ HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n\r\n"),
    "a header without a colon": (REFUSED, get(b"nonsense\r\n")),
    "a header without a name": (REFUSED, get(b": y\r\n")),
    "a header's name with a null byte": (REFUSED, get(b"X\x00: y\r\n")),
    "a null byte in a header": (REFUSED, get(b"X: a\x00b\r\n")),
    "more headers than any client sends": (TOO_LARGE, get(b"X: y\r\n" * 500)),
    "bare LF throughout": (READ, get(b"").replace(b"\r\n", b"\n")),
    "empty lines before": (READ, b"\r\n\r\n" + get(b"")),
    # Hosts.
    "no host": ((400, 200, 405), b"GET /v2/ HTTP/1.1\r\n\r\n"),
    "two hosts": ((400, 200, 405), get(b"Host: other\r\n")),
    "the same host twice": ((400, 200, 405), get(b"Host: localhost\r\n")),
    "a foreign host": ((403, 200, 405), b"GET /v2/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    # No browser can send it, and no URL of an answer is made of it.
    "a host in the target": (READ, request(b"GET http://evil.example/v2/ HTTP/1.1", b"")),
    # Ways to another protocol, and words to the next hop.
    "an upgrade to h2c": (
        READ,
        get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
    ),
    "an upgrade to a web socket": (READ, get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    "a tunnel": ((*AMBIGUOUS, 200, 405), request(b"CONNECT evil.example:443 HTTP/1.1", b"")),
    "hop by hop": ((200,), get(b"Connection: close, Host, Authorization\r\n")),
    "100-continue, and a body all the same": (
        AMBIGUOUS,
        request(ABSENT, b"Expect: 100-continue\r\n" + LENGTH_OF_SMUGGLED),
    ),
}
