"""Bad requests of pushing and pulling blobs."""

from lading_storage.digests import digest_of
from tests.api.bad_paths import DIGESTS, NO_DIGESTS
from tests.api.bad_request_case import BLOB, HIDDEN, LAYER, RECEIVED, BadRequestCase

UPLOADS = "/v2/app/blobs/uploads/"
SESSION = "/v2/app/blobs/uploads/SESSION"
RECEIVED_DIGEST = digest_of(RECEIVED)

SESSIONS = (
    *(
        "0" * 32,
        "x",
        ".",
        "..",
        "%2E%2E",
        "__x__",
        ":__x",
        "%00",
        "%0A",
        "%20",
        "a%20b",
        "%C3%A4",
        "%FF",
        "%F0%9F%90%B3",
    ),
    *(
        "SESSION%0A",
        "SESSION%00",
        "%20SESSION",
        "SESSION-",
        "SESSION-x",
        "SESSION--1",
        "SESSION-+1",
        "SESSION-%D9%A1",
        "SESSION-" + "9" * 19,
        "SESSION.",
        "session",
        "a" * 1400,
        "a" * 1501,
        "a" * 9000,
    ),
    *("'%20OR%201=1--", "%25", "*", "a:b", "-1", "null"),
)

RANGES = (
    "",
    "bytes 10-14/15",
    "bytes=10-14",
    "10-",
    "-14",
    "10",
    "a-b",
    "10 - 14",
    "10-14/15",
    "10-14,15-19",
    "10--14",
)
ODD_RANGES = (
    "0x10-0x14",
    "+10-14",
    "1e1-14",
    "%D9%A1-14",
    "10.0-14.0",
    "9" * 19 + "-" + "9" * 19,
    "10-14\t1",
    "*",
    "10-14-18",
)

ALGORITHMS = (
    "",
    "md5",
    "sha1",
    "sha384",
    "SHA256",
    "sha256%20",
    "sha256,sha512",
    "..",
    "%00",
    "%C3%A4",
    "blake3",
    "a" * 5000,
)

UNSATISFIABLE = (
    f"bytes={len(LAYER)}-",
    f"bytes={len(LAYER)}-99",
    "bytes=1000-",
    "bytes=1000-2000",
    f"bytes={'9' * 30}-",
)


def _patch(status: int, code: str, content_range: str, **fields: object) -> BadRequestCase:
    return BadRequestCase(status, code, "PATCH", SESSION, b"abcde", {"Content-Range": content_range}, **fields)  # type: ignore[arg-type]


def _put(status: int, code: str, content_range: str) -> BadRequestCase:
    return BadRequestCase(
        status, code, "PUT", f"{SESSION}?digest={RECEIVED_DIGEST}", b"abcde", {"Content-Range": content_range}
    )


ROWS = (
    *(BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "GET", f"{UPLOADS}{id}") for id in SESSIONS),
    *(BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "PATCH", f"{UPLOADS}{id}", b"abcde") for id in SESSIONS[::3]),
    *(BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "PUT", f"{UPLOADS}{id}?digest={BLOB}", LAYER) for id in SESSIONS[::3]),
    *(BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "DELETE", f"{UPLOADS}{id}") for id in SESSIONS[::3]),
    # The session of another repository.
    *(
        BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", each, "/v2/other/blobs/uploads/SESSION")
        for each in ("GET", "PATCH", "DELETE")
    ),
    BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "PUT", f"/v2/other/blobs/uploads/SESSION?digest={RECEIVED_DIGEST}"),
    BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "HEAD", "/v2/other/blobs/uploads/SESSION"),
    BadRequestCase(404, "BLOB_UPLOAD_UNKNOWN", "GET", "/v2/absent/blobs/uploads/SESSION"),
    # Content-Range: malformed, of another length than the body, before the end, behind it, backwards.
    *(_patch(400, "BLOB_UPLOAD_INVALID", each) for each in (*RANGES, *ODD_RANGES)),
    *(_patch(400, "BLOB_UPLOAD_INVALID", each) for each in ("10-13", "10-15", "10-10", "14-10", "0-99", "10-9")),
    *(
        _patch(416, "BLOB_UPLOAD_INVALID", each)
        for each in ("0-4", "9-13", "11-15", "20-24", "999999999999-1000000000003")
    ),
    *(_patch(416, "BLOB_UPLOAD_INVALID", each, chunked=True, note="chunked") for each in ("0-4", "11-15")),
    *(
        _patch(400, "BLOB_UPLOAD_INVALID", each, chunked=True, note="chunked")
        for each in (*RANGES[1:4], "10-9", "10-5")
    ),
    *(_patch(400, "SIZE_INVALID", each, chunked=True, note="chunked") for each in ("10-19", "10-12")),
    *(_put(400, "BLOB_UPLOAD_INVALID", each) for each in (*RANGES[::2], "10-13", "10-15", "14-10")),
    *(_put(416, "BLOB_UPLOAD_INVALID", each) for each in ("0-4", "11-15")),
    *(
        BadRequestCase(
            400,
            "BLOB_UPLOAD_INVALID",
            "POST",
            f"{UPLOADS}?digest={digest_of(b'abcde')}",
            b"abcde",
            {"Content-Range": each},
        )
        for each in ("bytes 0-4/5", "0-3", "4-0")
    ),
    BadRequestCase(416, "BLOB_UPLOAD_INVALID", "POST", f"{UPLOADS}?digest={BLOB}", b"abcde", {"Content-Range": "5-9"}),
    # Bodies that end before their Content-Length.
    BadRequestCase(400, "SIZE_INVALID", "PATCH", SESSION, b"abcde", length=20),
    BadRequestCase(400, "SIZE_INVALID", "PATCH", SESSION, b"abcde", {"Content-Range": "10-29"}, length=20),
    BadRequestCase(400, "SIZE_INVALID", "PUT", f"{SESSION}?digest={RECEIVED_DIGEST}", b"abcde", length=20),
    BadRequestCase(400, "SIZE_INVALID", "POST", f"{UPLOADS}?digest={BLOB}", LAYER, length=1000),
    # Digests: malformed, absent, of other bytes.
    *(BadRequestCase(400, "DIGEST_INVALID", "PUT", f"{SESSION}?digest={each}") for each in (*DIGESTS, *NO_DIGESTS)),
    *(
        BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest={each}", LAYER)
        for each in (*DIGESTS[::2], *NO_DIGESTS)
    ),
    BadRequestCase(400, "DIGEST_INVALID", "PUT", SESSION),
    BadRequestCase(400, "DIGEST_INVALID", "PUT", f"{SESSION}?digest="),
    BadRequestCase(400, "DIGEST_INVALID", "PUT", f"{SESSION}?Digest={RECEIVED_DIGEST}"),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest=", LAYER),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest={BLOB}", HIDDEN),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest={BLOB}"),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest={digest_of(LAYER, 'sha512')}", HIDDEN),
    *(BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?digest-algorithm={each}") for each in ALGORITHMS),
    # Mounts of what cannot be a digest, from what cannot be a repository.
    *(
        BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?mount={each}&from=other")
        for each in (*DIGESTS[::3], *NO_DIGESTS)
    ),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?mount="),
    BadRequestCase(400, "DIGEST_INVALID", "POST", f"{UPLOADS}?mount=&from=other"),
    # Ranges of a pull.
    *(
        BadRequestCase(416, "UNSUPPORTED", "GET", f"/v2/app/blobs/{BLOB}", headers={"Range": each})
        for each in UNSATISFIABLE
    ),
    # What a manifest names cannot be deleted.
    BadRequestCase(405, "UNSUPPORTED", "DELETE", f"/v2/app/blobs/{BLOB}"),
)
