"""Values that no field of a manifest may have, by the kind of field."""

from typing import Any

from tests.api.bad_request_case import (
    BLOB,
    LAYER,
)
from tests.support import images

NUL, LONE = "\\u0000", "\\ud800"

NO_DESCRIPTORS: tuple[Any, ...] = (1, "x", None, [], True, 1.5)

NO_MEDIA_TYPES: tuple[Any, ...] = (1, 0, [], {}, True, False)

NO_LISTS: tuple[Any, ...] = (1, "x", {}, True, {"0": images.descriptor(LAYER)})

NO_VERSIONS: tuple[Any, ...] = (1, 3, -2, 2.5, "2", None, [], {}, True, False)

NO_ARTIFACT_TYPES: tuple[Any, ...] = (1, 0, [], {}, ["a/b"], {"a": "b"}, True, False, "a" * 256)

NO_ANNOTATIONS: tuple[Any, ...] = (
    1,
    "x",
    [],
    [["a", "b"]],
    True,
    {"a": 1},
    {"a": None},
    {"a": ["b"]},
    {"a": {}},
    {"a": True},
)

NO_SIZES: tuple[Any, ...] = (-1, 1.5, "5", None, [], {}, True, float("inf"), -(10**30))

NO_DIGESTS: tuple[Any, ...] = (
    1,
    None,
    [],
    {},
    True,
    "",
    "x",
    "sha256:",
    BLOB.upper(),
    f"{BLOB} ",
    f"{BLOB}\n",
    "MD5:00",
    "md5:",
    "md5:0/0",
    "a..b:0",
    f"blake3:{'0' * 63}",
    f"md5:{'0' * 509}",
)

UNKNOWN_DIGESTS = (
    f"md5:{'0' * 32}",
    f"blake3:{'0' * 64}",
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
)
"""Well-formed ones, of algorithms that the registry lacks: nothing of that digest is there."""

CONFUSABLE: dict[str, tuple[str, ...]] = {
    "document": (
        *("Layers", "LAYERS", "layer\u017f", "manifest\u017f", "\u017fubject", "mediatype", "Config", "bLobs"),
        *("annotation\u017f", "artifacttype", "\u017fchemaver\u017fion", "con\ufb01g", "conf\u0131g", "conf\u0130g"),
    ),
    "descriptor": (
        "Digest",
        "dige\u017ft",
        "DIGEST",
        "d\u0131gest",
        "\u017fize",
        "s\u0130ze",
        "mediatype",
        "Urls",
        "Platform",
    ),
    "platform": ("o\u017f", "OS", "Architecture", "variAnt", "os.ver\u017fion", "OS.features"),
}
"""Names that Go's or other clients take for the fields of these objects."""
