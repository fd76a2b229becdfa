"""Random requests and mutated manifests are answered, and never with a 5xx."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.registry.content.manifest_format import MEDIA_TYPES
from tests.api.bad_request_case import CONFIG, IMAGE, INDEX, LAYER
from tests.support import images
from tests.support.app_client import Client

QUICK = settings(
    max_examples=120,
    derandomize=True,
    database=None,
    # The stores are the module's: no request depends on what the one before it did.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DIGEST = images.descriptor(LAYER)["digest"]
WORDS = st.sampled_from(
    ["v2", "app", "blobs", "uploads", "manifests", "tags", "list", "referrers", "_catalog", "v1", DIGEST, "", "..", "."]
)
SEGMENTS = st.one_of(WORDS, WORDS, WORDS, st.text(max_size=12), st.binary(max_size=8))
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
NAMES = st.sampled_from(["n", "last", "digest", "mount", "from", "tag", "artifactType", "digest-algorithm"])
QUERIES = st.lists(st.tuples(NAMES, st.one_of(SEGMENTS, st.integers().map(str))), max_size=3)
VALUES = st.one_of(
    st.sampled_from(["bytes=0-1", "bytes=-1", "0-4", "5-", f'"{DIGEST}"', "*", "100-continue", *sorted(MEDIA_TYPES)]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Range", "If-Range", "If-None-Match", "Content-Range", "Content-Type", "Accept", "Authorization"]),
    VALUES,
    max_size=3,
)
ENDPOINTS = st.sampled_from(
    ["manifests/{}", "blobs/{}", "referrers/{}", "blobs/uploads/{}", "blobs/uploads/", "tags/list"]
)


def _quoted(segments: list[str | bytes]) -> str:
    return "/".join(
        quote(each, safe="") if isinstance(each, bytes) else quote(each.encode(), safe="") for each in segments
    )


def _query(pairs: list[tuple[str, Any]]) -> str:
    return "&".join(f"{name}={_quoted([value])}" for name, value in pairs)


def _fill_registry(client: Client) -> Client:
    client.push_image("app", "v1", LAYER)
    return client


@QUICK
@given(st.tuples(METHODS, st.lists(SEGMENTS, max_size=6), QUERIES, HEADERS, st.binary(max_size=30)))
def test_no_path_makes_the_app_fail(module_client: Client, asked: tuple[Any, ...]) -> None:
    method, path, query, headers, body = asked

    answer = module_client.request(method, f"/{_quoted(path)}?{_query(query)}", body, headers)

    assert answer.status < 500, answer


@QUICK
@given(
    st.tuples(
        METHODS, ENDPOINTS, SEGMENTS, QUERIES, HEADERS, st.one_of(st.just(IMAGE), st.binary(max_size=30)), st.booleans()
    )
)
def test_no_request_makes_an_endpoint_fail(module_client: Client, asked: tuple[Any, ...]) -> None:
    method, endpoint, last, query, headers, body, chunked = asked
    path = f"/v2/app/{endpoint.format(_quoted([last]))}"

    answer = module_client.request(method, f"{path}?{_query(query)}", body, headers, chunked=chunked)

    assert answer.status < 500, answer


@QUICK
@given(st.lists(st.tuples(METHODS, QUERIES, HEADERS, st.binary(max_size=30), st.booleans()), max_size=4))
def test_no_request_makes_a_session_fail(module_client: Client, requests: list[Any]) -> None:
    location = module_client.start_upload("app")
    for method, query, headers, body, chunked in requests:
        answer = module_client.request(method, f"{location}?{_query(query)}", body, headers, chunked=chunked)
        assert answer.status < 500, answer


TEXTS = st.text(max_size=10)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.sampled_from([DIGEST, *sorted(MEDIA_TYPES)])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "subject", "annotations", "artifactType"]
)
DEEP = st.sampled_from(["mediaType", "digest", "size", "artifactType", "annotations", "urls", "data", "platform"])


@QUICK
@given(
    st.sampled_from([IMAGE, INDEX]),
    st.dictionaries(FIELDS, JSON, max_size=2),
    FIELDS,
    st.dictionaries(DEEP, JSON, max_size=2),
)
def test_no_manifest_makes_the_app_fail(
    module_client: Client, manifest: bytes, fields: dict[str, Any], inside: str, deep: dict[str, Any]
) -> None:
    _fill_registry(module_client)
    mutated = json.loads(manifest) | fields
    place = mutated.get(inside, images.descriptor(CONFIG))
    if isinstance(place, dict):
        mutated[inside] = place | deep
    elif isinstance(place, list):
        mutated[inside] = [each | deep if isinstance(each, dict) else each for each in place]

    answer = module_client.request("PUT", "/v2/app/manifests/fuzz", json.dumps(mutated).encode())

    assert answer.status < 500, answer


@QUICK
@given(st.binary(max_size=5), st.integers(0, len(IMAGE)), st.integers(0, 10))
def test_no_bytes_make_the_app_fail(module_client: Client, put: bytes, at: int, cut: int) -> None:
    _fill_registry(module_client)

    answer = module_client.request("PUT", "/v2/app/manifests/fuzz", IMAGE[:at] + put + IMAGE[at + cut :])

    assert answer.status in (201, 400), answer
