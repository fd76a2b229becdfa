"""Calls of the fake of IAM (emulators.iam) that write attestations: Container Analysis v1, and Cloud KMS.

    POST  v1/projects/P/occurrences                                    an occurrence on a note
    GET   v1/projects/P/notes/N/occurrences                            those of a note
    PATCH v1/projects/P/occurrences/ID                                 another attestation of one
    POST  v1/projects/P/locations/…/cryptoKeyVersions/1:asymmetricSign a signature, with checksums
    GET   v1/projects/P/locations/…/cryptoKeyVersions/1/publicKey

    {
      "projects": {"p": BINDINGS},
      "notes": {"projects/p/notes/attestor": {"bindings": BINDINGS}},
      "occurrences": {"projects/p/occurrences/ID": {…}},
      "cryptoKeys": {"projects/p/…/cryptoKeys/k": {"bindings": BINDINGS, "versions": {"1": "PEM"}}},
      "attestations": {"duplicates": false, "hidden": false}
    }

Two answers are guesses, of which each test has both: `duplicates`: whether a second occurrence of the same resource on
the same note is made, where Google's own tools and their users report ALREADY_EXISTS with an id that is the same each
time; `hidden`: whether a new occurrence is not listed yet. Google says that lists are eventually consistent. What is
sent is checked against the discovery documents by tests/emulators/test_attestation_calls.py.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

from emulators.iam_calls import PLATFORM_SCOPES, Request
from emulators.iam_tokens import ApiError

KIND: Final = "ATTESTATION"
DAY: Final = "2026-01-01T00:00:00Z"
MAX_PAGE: Final = 1000
RESOURCE: Final = re.compile(r"https://[a-z0-9.:-]+(?:/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")


def create_occurrence(request: Request, project: str) -> Any:
    """containeranalysis.projects.occurrences.create."""
    body = request.json("resourceUri", "noteName", "attestation")
    note = body["noteName"]
    _require(request, "containeranalysis.occurrences.create", f"projects/{project}")
    _require(request, "containeranalysis.notes.attachOccurrence", note)
    if not RESOURCE.fullmatch(body["resourceUri"]):
        raise ApiError(400, "resource_uri must be the URI of an image by its digest")
    _check_attestation(body["attestation"])
    world = {**request.world}
    occurrences = world.setdefault("occurrences", {})
    id = uuid4() if _assumed(world, "duplicates") else uuid5(NAMESPACE_URL, f"{note} {body['resourceUri']}")
    name = f"projects/{project}/occurrences/{id}"
    if name in occurrences:
        raise ApiError(409, f'occurrence ID "{id}" already exists in project {project}')
    occurrences[name] = {**body, "name": name, "kind": KIND, "createTime": DAY, "updateTime": DAY}
    if _assumed(world, "hidden"):
        world.setdefault("unlisted", []).append(name)
    request.save(world)
    return occurrences[name]


def list_occurrences(request: Request, project: str, note: str) -> Any:
    """containeranalysis.projects.notes.occurrences.list, with a filter of one resource at most."""
    name = f"projects/{project}/notes/{note}"
    _require(request, "containeranalysis.notes.listOccurrences", name)
    if unknown := request.query.keys() - {"filter", "pageSize", "pageToken"}:
        raise ApiError(400, f"unknown parameters {sorted(unknown)}")
    size, start = int(_one(request, "pageSize", "20")), int(_one(request, "pageToken", "0"))
    filter = _one(request, "filter")
    wanted = re.fullmatch(r'resourceUrl="([^"]+)"', filter)
    if (filter and not wanted) or not 1 <= size <= MAX_PAGE:
        raise ApiError(400, "invalid filter, or page size")
    unlisted = request.world.get("unlisted", [])
    found = [
        each
        for id, each in sorted(request.world.get("occurrences", {}).items())
        if each["noteName"] == name and id not in unlisted and (not wanted or wanted[1] == each["resourceUri"])
    ]
    page = {"occurrences": found[start : start + size]} if found[start:] else {}
    return page | ({"nextPageToken": str(start + size)} if found[start + size :] else {})


def patch_occurrence(request: Request, project: str, id: str) -> Any:
    """containeranalysis.projects.occurrences.patch, of the attestation alone."""
    _require(request, "containeranalysis.occurrences.update", f"projects/{project}")
    world, name = {**request.world}, f"projects/{project}/occurrences/{id}"
    if _one(request, "updateMask") != "attestation":
        raise ApiError(400, "updateMask must be attestation")
    if name not in world.get("occurrences", {}):
        raise ApiError(404, f"occurrence {name} not found")
    body = request.json("attestation")
    _check_attestation(body["attestation"])
    world["occurrences"][name] |= body
    request.save(world)
    return world["occurrences"][name]


def asymmetric_sign(request: Request, key: str, version: str) -> Any:
    """cloudkms.projects.locations.keyRings.cryptoKeys.cryptoKeyVersions.asymmetricSign, of EC_SIGN_P256_SHA256."""
    import google_crc32c
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    private = _key(request, key, version, "cloudkms.cryptoKeyVersions.useToSign")
    body = request.json("digest", "digestCrc32c")
    digest = base64.b64decode(body["digest"]["sha256"], validate=True)
    if body["digest"].keys() != {"sha256"} or len(digest) != SHA256.digest_size:
        raise ApiError(400, "digest must be of 32 bytes, for EC_SIGN_P256_SHA256")
    if not isinstance(body["digestCrc32c"], str) or int(body["digestCrc32c"]) != google_crc32c.value(digest):
        raise ApiError(400, "The checksum in field digest_crc32c did not match the data in field digest.")
    signature = private.sign(digest, ECDSA(Prehashed(SHA256())))
    return {
        "name": f"{key}/cryptoKeyVersions/{version}",
        "signature": base64.b64encode(signature).decode(),
        "signatureCrc32c": str(google_crc32c.value(signature)),
        "verifiedDigestCrc32c": True,
        "protectionLevel": "SOFTWARE",
    }


def public_key(request: Request, key: str, version: str) -> Any:
    """cloudkms.projects.locations.keyRings.cryptoKeys.cryptoKeyVersions.getPublicKey."""
    import google_crc32c
    from cryptography.hazmat.primitives import serialization

    private = _key(request, key, version, "cloudkms.cryptoKeyVersions.viewPublicKey")
    format = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, format)
    return {
        "name": f"{key}/cryptoKeyVersions/{version}",
        "pem": pem.decode(),
        "pemCrc32c": str(google_crc32c.value(pem)),
        "algorithm": "EC_SIGN_P256_SHA256",
        "protectionLevel": "SOFTWARE",
    }


KEY: Final = "/v1/(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)/cryptoKeyVersions/([0-9]+)"

ATTESTATION_CALLS: Final[tuple[tuple[str, re.Pattern[str], Callable[..., Any]], ...]] = tuple(
    (method, re.compile(path), handler)
    for method, path, handler in (
        ("POST", "/v1/projects/([^/]+)/occurrences", create_occurrence),
        ("PATCH", "/v1/projects/([^/]+)/occurrences/([^/:]+)", patch_occurrence),
        ("GET", "/v1/projects/([^/]+)/notes/([^/]+)/occurrences", list_occurrences),
        ("POST", f"{KEY}:asymmetricSign", asymmetric_sign),
        ("GET", f"{KEY}/publicKey", public_key),
    )
)


def _assumed(world: Mapping[str, Any], name: str) -> bool:
    return bool(world.get("attestations", {}).get(name))


def _one(request: Request, name: str, default: str = "") -> str:
    values: Sequence[str] = request.query.get(name, [default])
    if len(values) != 1:
        raise ApiError(400, f"{name} is given twice")
    return values[0]


def _require(request: Request, permission: str, resource: str) -> None:
    """Raise ApiError 403 unless the caller has a permission on a note or a project; a note's are inherited from it."""
    member = request.member(PLATFORM_SCOPES[:1])
    world = request.world
    project = world.get("projects", {}).get(resource.split("/")[1], {})
    note = world.get("notes", {}).get(resource, {}).get("bindings", {})
    if permission not in request.granted_permissions(member, project, note):
        raise ApiError(403, f'permission "{permission}" denied for "{resource}" (or it may not exist)')
    if "/notes/" in resource and resource not in world.get("notes", {}):
        raise ApiError(404, f"note {resource} not found")


def _check_attestation(attestation: Any) -> None:
    """Raise ApiError 400 unless an attestation has a payload, and signatures of which each names its key."""
    if not isinstance(attestation, dict) or attestation.keys() != {"serializedPayload", "signatures"}:
        raise ApiError(400, "an attestation has serializedPayload and signatures here")
    json.loads(base64.b64decode(attestation["serializedPayload"], validate=True))
    if not attestation["signatures"]:
        raise ApiError(400, "an attestation needs a signature")
    for each in attestation["signatures"]:
        if each.keys() != {"publicKeyId", "signature"} or not re.match(r"[a-z0-9+.-]*:?//", each["publicKeyId"]):
            raise ApiError(400, "a signature needs public_key_id, an RFC 3986 conformant URI")
        base64.b64decode(each["signature"], validate=True)


def _key(request: Request, name: str, version: str, permission: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    member = request.member(PLATFORM_SCOPES[:1])
    stored = request.world.get("cryptoKeys", {}).get(name, {})
    if permission not in request.granted_permissions(member, stored.get("bindings", {})):
        raise ApiError(
            403,
            f"Permission '{permission}' denied on resource '{name}/cryptoKeyVersions/{version}' (or it may not exist).",
        )
    if version not in stored["versions"]:
        raise ApiError(404, f"CryptoKeyVersion {name}/cryptoKeyVersions/{version} not found.")
    return load_pem_private_key(stored["versions"][version].encode(), None)
