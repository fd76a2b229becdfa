"""Bad requests that already their paths, methods and queries give away."""

from tests.api.bad_request_case import ABSENT, BLOB, IMAGE, JSON_TYPE, BadRequestCase

HEX = BLOB.partition(":")[2]

NAMES = (
    *("A", "App", "aB", "-a", "a-", ".a", "a.", "_a", "a_", "_", "-", "a..b", "a___b", "a._b", "a-_b"),
    # Empty segments, and what would climb a folder.
    *(
        "a/",
        "/a",
        "a//b",
        "//",
        ".",
        "..",
        "a/.",
        "a/..",
        "../a",
        "a/../b",
        "%2E%2E",
        "a%2F%2E%2E%2Fb",
        "a%2F%2Fb",
        "./a",
    ),
    # Control characters, and an injected header.
    *("%00", "a%00", "a%00b", "a%0A", "%0Aa", "a%0Ab", "a%0D%0AX-Evil:%20y", "a%1B%5B31m", "a%7Fb", "a%09b"),
    *(
        "a%20b",
        "a+b",
        "a@b",
        "a:b",
        "a:1/b",
        "a%25b",
        "a%2561",
        "a*",
        "a%5Cb",
        "..%5Ca",
        "a%3Fb",
        "a%23b",
        "a;b",
        "a,b",
    ),
    *("a=b", "$a", "%7Ba%7D", "a'b", "a%22b", "%3Ca%3E", "a|b", "a~b", "a!", "(a)", "a&b"),
    # Not ASCII: umlauts, a Cyrillic a, an override of direction, a fullwidth a, a superscript, bytes that are no UTF-8.
    *(
        "%C3%A4",
        "%D0%B0",
        "a%E2%80%AEb",
        "%EF%BD%81",
        "a%C2%B2",
        "%E6%97%A5",
        "%F0%9F%90%B3",
        "a%FF",
        "%C0%AE",
        "%ED%A0%80",
    ),
    *("x" * 256, "a/" * 127 + "aa", "x" * 5000),
)

UNKNOWN_ALGORITHMS = (
    *(f"sha384:{HEX}{HEX[:32]}", f"sha1:{HEX[:40]}", f"md5:{HEX[:32]}", f"blake3:{HEX}"),
    *(f"sha256+b64:{HEX}", f"sha-256:{HEX}"),
)
"""What is no digest of anything that is there, but may be a subject's."""

DIGESTS = (
    *("sha256:", f":{HEX}", "sha256::", "sha256:abc", f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}"),
    *(
        f"sha256:{'g' * 64}",
        f"SHA256:{HEX}",
        f"sha256:%20{HEX}",
        f"%20{BLOB}",
        f"{BLOB}%0A",
        f"{BLOB}%00",
        f"%0A{BLOB}",
    ),
    *(f"sha512:{HEX}", f"sha256:{HEX}{HEX}", f"sha256:{'%D9%A0' * 64}", f"sha256:{'%EF%BC%91' * 64}"),
    *UNKNOWN_ALGORITHMS,
    *(f"{BLOB},{BLOB}", f"sha256:0x{HEX[2:]}", f"sha256:{'0' * 5000}", f"sha256%3A%3A{HEX}", f"sha256:{HEX[:-1]}%FF"),
)

NO_DIGESTS = ("latest", HEX, f"sha256-{HEX}", "sha256", "..", ".", "%00", "%20", "%2E%2E", "uploads")

MALFORMED = tuple(each for each in (*DIGESTS, *NO_DIGESTS) if each not in UNKNOWN_ALGORITHMS)[::2]

TAGS = (
    *("-a", ".a", ".", "..", "%2E%2E", "a%20b", "a+b", "a@b", "a~b", "a!", "a%25", "%C3%A4", "%D0%B0", "%F0%9F%90%B3"),
    *("%00", "a%00", "a%0A", "%0Aa", "a%0D%0A", "a%09", "a%7F", "a%FF", "a" * 129, "a" * 5000, "a%3Fb", "a%5Cb", "*"),
)

PATHS = (
    *(
        "",
        "//",
        "/v1/",
        "/V2/",
        "/v3/",
        "/v2//",
        "/v2/.",
        "/v2/..",
        "/v2/../v2/",
        "/v2%00",
        "/v2/%00",
        "/v2/%0A",
    ),
    *("/favicon.ico", "/metrics", "/healthz.php", "/debug/pprof/", "/.git/config", "/v2/_catalog//", "/v2/_catalog%0A"),
    *("/v2/app", "/v2/app/", "/v2/app/tags", "/v2/app/tags/", "/v2/app/tags/list//", "/v2/app/tags/list/x"),
    *("/v2/app/tags/list%0A", "/v2/app/tags/List", "/v2/tags/list", "/v2//tags/list", "/v2/manifests/v1"),
    *(
        "/v2/app/manifests",
        "/v2/app/manifests/",
        "/v2/app/manifests/a/b",
        "/v2/app/manifests/a%2Fb",
        "/v2/app/manifest/v1",
    ),
    *("/v2/app/blobs", "/v2/app/blobs/", f"/v2/app/blobs/{BLOB}/", f"/v2/blobs/{BLOB}", "/v2/app/blobs/uploads/x/y"),
    *("/v2/app/referrers", "/v2/app/referrers/", f"/v2/app/referrers/{BLOB}/x", f"/v2/app/_layers/{BLOB}"),
)

METHODS = {
    "/v2/": "POST PUT PATCH DELETE TRACE BREW",
    "/v2/_catalog": "POST PUT PATCH DELETE",
    "/v2/app/tags/list": "POST PUT PATCH DELETE",
    "/v2/app/manifests/v1": "POST PATCH CONNECT",
    f"/v2/app/blobs/{BLOB}": "POST PUT PATCH",
    f"/v2/app/referrers/{BLOB}": "POST PUT PATCH DELETE",
    "/v2/app/blobs/uploads/": "GET HEAD PUT PATCH DELETE",
    "/v2/app/blobs/uploads/SESSION": "POST TRACE",
}

NUMBERS = (
    "-1",
    "a",
    "1.5",
    "",
    "%20",
    "1%20",
    "+1",
    "%2B1",
    "0x1",
    "1e3",
    "1_0",
    "%D9%A3",
    "%C2%B2",
    "1%00",
    "1%0A",
    "null",
)

EVERY_ENDPOINT = (
    ("GET", "tags/list"),
    ("GET", "manifests/v1"),
    ("HEAD", "manifests/v1"),
    ("PUT", "manifests/v1"),
    ("DELETE", "manifests/v1"),
    ("GET", f"blobs/{BLOB}"),
    ("DELETE", f"blobs/{BLOB}"),
    ("GET", f"referrers/{BLOB}"),
    ("POST", "blobs/uploads/"),
    ("POST", f"blobs/uploads/?digest={BLOB}"),
    ("POST", f"blobs/uploads/?mount={BLOB}&from=app"),
    ("GET", "blobs/uploads/SESSION"),
    ("PATCH", "blobs/uploads/SESSION"),
    ("PUT", f"blobs/uploads/SESSION?digest={BLOB}"),
    ("DELETE", "blobs/uploads/SESSION"),
)

ROWS = (
    *(BadRequestCase(400, "NAME_INVALID", "GET", f"/v2/{name}/tags/list") for name in NAMES),
    *(BadRequestCase(400, "NAME_INVALID", method, f"/v2/app/../other/{rest}") for method, rest in EVERY_ENDPOINT),
    *(BadRequestCase(400, "NAME_INVALID", method, f"/v2/APP/{rest}") for method, rest in EVERY_ENDPOINT),
    *(BadRequestCase(404, "BLOB_UNKNOWN", "GET", f"/v2/app/blobs/{digest}") for digest in (*DIGESTS, *NO_DIGESTS)),
    *(
        BadRequestCase(404, "BLOB_UNKNOWN", "DELETE", f"/v2/app/blobs/{digest}")
        for digest in (*DIGESTS[::4], *NO_DIGESTS[::2])
    ),
    *(BadRequestCase(400, "DIGEST_INVALID", "GET", f"/v2/app/referrers/{digest}") for digest in MALFORMED),
    *(BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", f"/v2/app/manifests/{digest}") for digest in DIGESTS),
    *(
        BadRequestCase(400, "DIGEST_INVALID", "PUT", f"/v2/app/manifests/{each}", IMAGE, JSON_TYPE)
        for each in DIGESTS[::2]
    ),
    *(BadRequestCase(404, "MANIFEST_UNKNOWN", "DELETE", f"/v2/app/manifests/{each}") for each in DIGESTS[::4]),
    *(BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", f"/v2/app/manifests/{tag}") for tag in TAGS),
    *(BadRequestCase(400, "TAG_INVALID", "PUT", f"/v2/app/manifests/{tag}", IMAGE, JSON_TYPE) for tag in TAGS),
    *(BadRequestCase(404, "MANIFEST_UNKNOWN", "DELETE", f"/v2/app/manifests/{tag}") for tag in TAGS[::3]),
    *(BadRequestCase(404, "UNSUPPORTED", "GET", path) for path in PATHS),
    *(
        BadRequestCase(404, "UNSUPPORTED", method, "/v2/app")
        for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    ),
    *(
        BadRequestCase(405, "UNSUPPORTED", method, path)
        for path, methods in METHODS.items()
        for method in methods.split()
    ),
    *(BadRequestCase(400, "UNSUPPORTED", "GET", f"/v2/app/tags/list?n={number}") for number in NUMBERS),
    *(BadRequestCase(400, "UNSUPPORTED", "GET", f"/v2/_catalog?n={number}") for number in NUMBERS),
    BadRequestCase(404, "NAME_UNKNOWN", "GET", "/v2/absent/tags/list"),
    BadRequestCase(404, "NAME_UNKNOWN", "GET", "/v2/absent/tags/list?n=0"),
    BadRequestCase(404, "NAME_UNKNOWN", "GET", "/v2/absent/tags/list?last=v1"),
    BadRequestCase(404, "NAME_UNKNOWN", "GET", "/v2/app/app/tags/list"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", "/v2/app/manifests/absent"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "HEAD", "/v2/app/manifests/absent"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", "/v2/app/manifests/V1"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", "/v2/app/manifests/latest"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", "/v2/app/manifests/__name__"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", f"/v2/app/manifests/{ABSENT}"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", f"/v2/app/manifests/{BLOB}"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "GET", "/v2/absent/manifests/v1"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "DELETE", "/v2/app/manifests/absent"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "DELETE", f"/v2/app/manifests/{ABSENT}"),
    BadRequestCase(404, "MANIFEST_UNKNOWN", "DELETE", "/v2/absent/manifests/v1"),
    BadRequestCase(404, "BLOB_UNKNOWN", "GET", f"/v2/app/blobs/{ABSENT}"),
    BadRequestCase(404, "BLOB_UNKNOWN", "HEAD", f"/v2/app/blobs/{ABSENT}"),
    BadRequestCase(404, "BLOB_UNKNOWN", "GET", f"/v2/absent/blobs/{BLOB}"),
    BadRequestCase(404, "BLOB_UNKNOWN", "DELETE", f"/v2/app/blobs/{ABSENT}"),
    BadRequestCase(404, "BLOB_UNKNOWN", "DELETE", f"/v2/absent/blobs/{BLOB}"),
)
