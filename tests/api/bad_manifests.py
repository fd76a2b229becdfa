"""Bad manifests: not JSON, not manifests, too large, of two meanings, of what is not there."""

import json
from collections.abc import Iterator
from typing import Any

from lading.registry.content.manifest_format import DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.api.bad_request_case import (
    ABSENT,
    BLOB,
    CONFIG,
    HIDDEN,
    HIDDEN_IMAGE,
    IMAGE,
    INDEX,
    JSON_TYPE,
    LAYER,
    BadRequestCase,
)
from tests.api.bad_values import (
    CONFUSABLE,
    LONE,
    NO_ANNOTATIONS,
    NO_ARTIFACT_TYPES,
    NO_DESCRIPTORS,
    NO_DIGESTS,
    NO_LISTS,
    NO_MEDIA_TYPES,
    NO_SIZES,
    NO_VERSIONS,
    UNKNOWN_DIGESTS,
)
from tests.support import images

TARGET = "/v2/app/manifests/new"

BYTES: dict[str, bytes] = {
    "nothing": b"",
    "space": b" \n",
    "null": b"null",
    "number": b"1",
    "text": b'"manifest"',
    "list": b"[]",
    "list of a manifest": b"[" + IMAGE + b"]",
    "empty object": b"{}",
    "cut": IMAGE[:-1],
    "two": IMAGE + IMAGE,
    "garbage behind": IMAGE + b"x",
    "NUL behind": IMAGE + b"\0",
    "comment": b"/* */" + IMAGE,
    "single quotes": IMAGE.replace(b'"', b"'"),
    "comma at the end": IMAGE[:-1] + b",}",
    "no quotes": b"{schemaVersion: 2}",
    "YAML": b"schemaVersion: 2\n",
    "a byte order mark": b"\xef\xbb\xbf" + IMAGE,
    "UTF-16": IMAGE.decode().encode("utf-16"),
    "UTF-16 without a mark": IMAGE.decode().encode("utf-16-le"),
    "UTF-32": IMAGE.decode().encode("utf-32"),
    "no UTF-8": IMAGE[:-1] + b', "x": "\xff"}',
    "an overlong slash": IMAGE[:-1] + b', "x": "\xc0\xaf"}',
    "an encoded surrogate": IMAGE[:-1] + b', "x": "\xed\xa0\x80"}',
    "a raw control character": IMAGE[:-1] + b', "x": "\x01"}',
    "a bad escape": IMAGE[:-1] + b', "x": "\\q"}',
    "zlib": b"\x78\x9c\x01\x00",
    "100,000 lists in each other": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects in each other": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 lists in a field": IMAGE[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 lists in an annotation": IMAGE[:-1] + b', "annotations": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "100,000 open lists": b"[" * 100_000,
    "a number of 100,000 digits": IMAGE[:-1] + b', "x": ' + b"9" * 100_000 + b"}",
    "a size of 100,000 digits": IMAGE.replace(b'"size": 2', b'"size": ' + b"9" * 100_000),
    "NaN": IMAGE[:-1] + b', "x": NaN}',
    "Infinity": IMAGE[:-1] + b', "x": -Infinity}',
}
"""What is not a JSON object."""


def _image(**fields: Any) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(IMAGE)
    return described | fields


def _index(**fields: Any) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(INDEX)
    return described | fields


def _artifact(**fields: Any) -> dict[str, Any]:
    return {"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": [images.descriptor(LAYER)]} | fields


def _without(described: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key != name}


def _put(described: dict[str, Any], note: str, code: str = "MANIFEST_INVALID", target: str = TARGET) -> BadRequestCase:
    body = json.dumps(described).encode()
    return BadRequestCase(400, code, "PUT", target, body, {"Content-Type": described["mediaType"]}, note=note)


def _with(descriptor: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place where a manifest can hold a descriptor, with this one in it."""
    layer = images.descriptor(LAYER)
    yield "config", _image(config=descriptor)
    yield "layers", _image(layers=[layer, descriptor])
    yield "subject", _image(subject=descriptor)
    yield "manifests", _index(manifests=[descriptor])
    yield "blobs", _artifact(blobs=[layer, descriptor])


def _descriptors() -> Iterator[BadRequestCase]:
    """Every wrong descriptor in every place; a subject of null is as good as none."""
    good = images.descriptor(IMAGE, OCI_MANIFEST)
    for value in NO_DESCRIPTORS:
        yield from (_put(put, f"{at}: {value!r}") for at, put in _with(value) if (at, value) != ("subject", None))
    for field, values in {"mediaType": NO_MEDIA_TYPES, "size": NO_SIZES, "digest": NO_DIGESTS}.items():
        for value in values:
            yield from (_put(put, f"{at}.{field}: {str(value)[:20]!r}") for at, put in _with(good | {field: value}))
    yield from (_put(put, f"{at} without digest") for at, put in _with(_without(good, "digest")))


def _fields() -> Iterator[BadRequestCase]:
    """Wrong values of the other fields that the registry reads."""
    for value in NO_VERSIONS:
        yield _put(_image(schemaVersion=value), f"schemaVersion: {value!r}")
    for value in NO_LISTS:
        yield _put(_image(layers=value), f"layers: {value!r}")
        yield _put(_index(manifests=value), f"manifests: {value!r}")
        yield _put(_artifact(blobs=value), f"blobs: {value!r}")
    for value in NO_ARTIFACT_TYPES:
        yield _put(_image(artifactType=value), f"artifactType: {value!r}")
    for value in NO_ANNOTATIONS:
        yield _put(_image(annotations=value), f"annotations: {value!r}")
    yield _put(_without(_image(), "config"), "no config")
    yield _put(_without(_image(), "layers"), "no layers")


def _meanings() -> Iterator[BadRequestCase]:
    """Images that are indexes as well."""
    layers: Any = json.loads(IMAGE)["layers"]
    manifests: Any = json.loads(INDEX)["manifests"]
    empty: tuple[Any, ...] = ([], None)
    for media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        for other in (manifests, *empty):
            yield _put(_image(mediaType=media_type, manifests=other), f"{media_type} with manifests {other}")
    for media_type in (OCI_INDEX, DOCKER_LIST):
        for other in (layers, *empty):
            yield _put(_index(mediaType=media_type, layers=other), f"{media_type} with layers {other}")
    yield _put(_artifact(manifests=manifests), "artifact with manifests")
    yield _put(_image(mediaType=OCI_INDEX), "image that says it is an index")
    yield _put(_index(mediaType=OCI_MANIFEST), "index that says it is an image")


def _names() -> Iterator[BadRequestCase]:
    """Names that some clients take for others, written plainly and escaped; names that stand twice."""
    good = images.descriptor(IMAGE, OCI_MANIFEST)
    for name in CONFUSABLE["document"]:
        yield from _plain_and_escaped(_image(**{name: []}), f"{name!a} beside the field")
        yield from _plain_and_escaped(_image(**{name: None}), f"{name!a}: null")
        yield from _plain_and_escaped(_index(**{name: []}), f"{name!a} in an index")
    for name in CONFUSABLE["descriptor"]:
        for at, put in _with(good | {name: ABSENT}):
            yield from _plain_and_escaped(put, f"{at}.{name!a}")
    for name in CONFUSABLE["platform"]:
        yield from _plain_and_escaped(_index(manifests=[good | {"platform": {name: "linux"}}]), f"platform.{name!a}")
    for where, part in {
        "document": b'"layers": [], "layers": []',
        "document, escaped": b'"layers": [], "layer\\u0073": []',
        "annotations": b'"annotations": {"a": "1", "a": "2"}',
        "annotations, escaped": b'"annotations": {"a": "1", "\\u0061": "2"}',
        "an extension": b'"x": [{"y": {"a": 1, "b": 2, "a": 3}}]',
    }.items():
        body = IMAGE[:-1] + b", " + part + b"}"
        yield BadRequestCase(400, "MANIFEST_INVALID", "PUT", TARGET, body, JSON_TYPE, note=f"a name twice in {where}")


def _plain_and_escaped(described: dict[str, Any], note: str) -> Iterator[BadRequestCase]:
    headers = {"Content-Type": described["mediaType"]}
    for body in dict.fromkeys(json.dumps(described, ensure_ascii=escape).encode() for escape in (True, False)):
        yield BadRequestCase(400, "MANIFEST_INVALID", "PUT", TARGET, body, headers, note=f"{note} {body.isascii()}")


def _types() -> Iterator[BadRequestCase]:
    """Media types: no manifest's, not those of the body, none."""
    odd = (
        "text/plain",
        "application/json",
        "application/octet-stream",
        "*/*",
        "x",
        OCI_MANIFEST + "x",
        "a" * 5000,
    )
    signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    for content_type in (*odd, signed, OCI_INDEX, DOCKER_MANIFEST, f"{OCI_INDEX}; charset=utf-8", f'"{OCI_MANIFEST}"'):
        yield BadRequestCase(400, "MANIFEST_INVALID", "PUT", TARGET, IMAGE, {"Content-Type": content_type})
    for said in (*odd, signed, f"{OCI_MANIFEST}; charset=utf-8", f" {OCI_MANIFEST}"):
        yield BadRequestCase(
            400, "MANIFEST_INVALID", "PUT", TARGET, _encoded(mediaType=said), JSON_TYPE, note=f"says {said[:30]}"
        )
        yield BadRequestCase(
            400, "MANIFEST_INVALID", "PUT", TARGET, _encoded(mediaType=said), note=f"says {said[:30]}, sent as nothing"
        )
    for value in NO_MEDIA_TYPES:
        yield BadRequestCase(
            400, "MANIFEST_INVALID", "PUT", TARGET, _encoded(mediaType=value), JSON_TYPE, note=f"says {value}"
        )
    for value in ("", None):
        yield BadRequestCase(
            400, "MANIFEST_INVALID", "PUT", TARGET, _encoded(mediaType=value), note=f"says {value}, sent as nothing"
        )
    yield BadRequestCase(
        400, "MANIFEST_INVALID", "PUT", TARGET, json.dumps(_without(_image(), "mediaType")).encode(), note="no type"
    )


def _encoded(**fields: Any) -> bytes:
    return json.dumps(_image(**fields)).encode()


def _texts() -> Iterator[BadRequestCase]:
    """Texts that are no text: half of a surrogate pair, which no UTF-8 can hold."""
    for name, body in {
        "artifactType": _encoded(artifactType="a/@"),
        "config.mediaType": _encoded(config=images.descriptor(CONFIG, "a/@")),
        "config.digest": _encoded(config=images.descriptor(CONFIG) | {"digest": f"{BLOB[:-1]}@"}),
        "mediaType": _encoded(mediaType=f"{OCI_MANIFEST}@"),
    }.items():
        yield BadRequestCase(
            400, "MANIFEST_INVALID", "PUT", TARGET, body.replace(b"@", LONE.encode()), JSON_TYPE, note=f"lone in {name}"
        )


def _sizes() -> Iterator[BadRequestCase]:
    """Too much of something."""
    many = [images.descriptor(LAYER)] * 5_001
    padding = "x" * (4 * 1024 * 1024 + 1 - len(_encoded(x="")))
    yield _put(_image(layers=many), "5,001 layers")
    yield _put(_image(layers=many[1:]), "5,000 layers and a config")
    yield _put(_index(manifests=[images.descriptor(IMAGE, OCI_MANIFEST)] * 5_001), "5,001 manifests")
    yield _put(_artifact(blobs=many), "5,001 blobs")
    yield _put(_image(config=images.descriptor(CONFIG, "a/" + "b" * 2_000_000)), "a config's media type of 2 MB")
    for chunked in (False, True):
        large = _encoded(x=padding)
        yield BadRequestCase(
            413, "SIZE_INVALID", "PUT", TARGET, large, JSON_TYPE, chunked=chunked, note=f"4 MiB and a byte {chunked}"
        )
    yield BadRequestCase(
        413, "SIZE_INVALID", "PUT", f"/v2/app/manifests/{ABSENT}", bytes(5_000_000), JSON_TYPE, note="5 MB by digest"
    )
    yield BadRequestCase(400, "SIZE_INVALID", "PUT", TARGET, IMAGE, JSON_TYPE, length=len(IMAGE) + 1, note="cut")
    yield BadRequestCase(400, "SIZE_INVALID", "PUT", TARGET, b"", JSON_TYPE, length=9, note="all cut")


def _absent() -> Iterator[BadRequestCase]:
    """Manifests of what the repository does not have, be it elsewhere or nowhere."""
    code = "MANIFEST_BLOB_UNKNOWN"
    absent = {"mediaType": images.LAYER_TYPE, "digest": ABSENT, "size": 5}
    hidden = images.descriptor(HIDDEN)
    large = {"annotations": {"x": "y" * 600_000}}
    yield _put(_image(config=absent), "absent config", code)
    yield _put(_image(layers=[absent]), "absent layer", code)
    yield _put(_image(layers=[images.descriptor(LAYER), absent]), "one absent layer of two", code)
    yield _put(_image(layers=[hidden]), "layer of another repository", code)
    yield _put(_image(layers=[images.descriptor(LAYER, algorithm="sha512")]), "layer by another algorithm", code)
    yield _put(_image(layers=[images.descriptor(IMAGE, OCI_MANIFEST)]), "manifest as a layer", code)
    yield _put(_image(), "in a repository that has nothing", code, "/v2/absent/manifests/new")
    yield _put(_artifact(blobs=[absent]), "absent blob of an artifact", code)
    yield _put(_index(manifests=[absent | {"mediaType": OCI_MANIFEST}]), "absent child", code)
    yield _put(_index(manifests=[images.descriptor(HIDDEN_IMAGE, OCI_MANIFEST)]), "child of another repository", code)
    yield _put(_index(manifests=[images.descriptor(LAYER, OCI_MANIFEST)]), "blob as a child", code)
    yield _put(_index(manifests=[absent]), "absent blob of a cache", code)
    for digest in UNKNOWN_DIGESTS:
        unknown = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 5}
        yield from (_put(put, f"{at}: {digest[:12]}", code) for at, put in _with(unknown) if at != "subject")
    # Such a manifest is too large for a record of metadata, and goes another way.
    yield _put(_image(layers=[absent], **large), "absent layer of a large manifest", code)
    yield _put(_image(layers=[absent], **large), "the same in an empty repository", code, "/v2/absent/manifests/new")


def _tags() -> Iterator[BadRequestCase]:
    """Tags beside the reference; digests that are not the content's; children."""
    many = "&".join(f"tag=t{number}" for number in range(101))
    digest = digest_of(IMAGE)
    yield BadRequestCase(
        414, "TAG_INVALID", "PUT", f"/v2/app/manifests/{digest}?{many}", IMAGE, JSON_TYPE, note="101 tags"
    )
    yield BadRequestCase(414, "TAG_INVALID", "PUT", f"{TARGET}?{many}", IMAGE, JSON_TYPE, note="101 tags and one")
    for tags in (
        "tag=",
        "tag=-a",
        "tag=a&tag=.b",
        "tag=a%20b",
        "tag=a%0Ab",
        "tag=a/b",
        f"tag={BLOB}",
        f"tag={'a' * 129}",
    ):
        yield BadRequestCase(400, "TAG_INVALID", "PUT", f"/v2/app/manifests/{digest}?{tags}", IMAGE, JSON_TYPE)
        yield BadRequestCase(400, "TAG_INVALID", "PUT", f"{TARGET}?{tags}", IMAGE, JSON_TYPE)
    for other in (ABSENT, digest_of(b"", "sha512"), digest_of(INDEX)):
        yield BadRequestCase(400, "DIGEST_INVALID", "PUT", f"/v2/app/manifests/{other}", IMAGE, JSON_TYPE)
    yield BadRequestCase(
        400, "DIGEST_INVALID", "PUT", f"/v2/app/manifests/{digest}", IMAGE + b"\n", JSON_TYPE, note="a line more"
    )
    yield BadRequestCase(405, "UNSUPPORTED", "DELETE", f"/v2/app/manifests/{digest}", note="a child of an index")


ROWS = (
    *(
        BadRequestCase(400, "MANIFEST_INVALID", "PUT", TARGET, body, JSON_TYPE, note=note)
        for note, body in BYTES.items()
    ),
    *_descriptors(),
    *_fields(),
    *_meanings(),
    *_names(),
    *_types(),
    *_texts(),
    *_sizes(),
    *_absent(),
    *_tags(),
)
