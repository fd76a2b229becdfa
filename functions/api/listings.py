"""Tags, repositories and referrers."""

from typing import Any

from functions.api import catalog
from functions.api.answers import Answer, as_json
from functions.api.base import Call, behind, link_to_next, page_size
from functions.auth import cursors, patterns
from functions.registry.documents import OCI_INDEX
from functions.registry.manifests import Referrer
from functions.registry.names import check_digest, check_subject


def tags(call: Call) -> Answer:
    """end-8a, end-8b: the tags of a repository, in lexical order."""
    size = page_size(call)
    page = call.registry.tags.names(call.name, behind(call), size)
    answer = as_json({"name": call.name, "tags": page.items})
    if page.next:
        link_to_next(call, answer, {"n": size, "last": page.next})
    return answer


def repositories(call: Call) -> Answer:
    """Docker's `_catalog`: the repositories that the caller may pull from."""
    size, last = page_size(call), call.request.args.get("last", "")
    after = call.door.unseal(call.caller, last) if last.startswith(cursors.MARK) else behind(call)
    readable = patterns.compiled(tuple(call.caller.readable()))
    with call.searches.place(call.caller.principal or call.audit.origin.client.network):
        page = catalog.page_of(call.registry, readable, after, size)
    answer = as_json({"repositories": page.names})
    if page.next:
        last = call.door.seal(call.caller, page.next) if page.hidden else page.next
        link_to_next(call, answer, {"n": size, "last": last})
    return answer


def referrers(call: Call) -> Answer:
    """end-12a, end-12b: what refers to a manifest, as an index; the subject need not be there."""
    check_subject(call.last)
    artifact_type, last = call.request.args.get("artifactType", ""), call.request.args.get("last", "")
    if last:
        check_digest(last)
    page = call.registry.manifests.referrers(call.name, call.last, artifact_type, last)
    described = [_descriptor(referrer) for referrer in page.items]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": described}
    answer = as_json(index, media_type=OCI_INDEX)
    filters = {"artifactType": artifact_type} if artifact_type else {}
    if filters:
        answer.add({"OCI-Filters-Applied": "artifactType"})
    if page.next:
        link_to_next(call, answer, {**filters, "last": page.next})
    return answer


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    manifest = referrer.manifest
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
    }
    if referrer.artifact_type:
        descriptor["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        descriptor["annotations"] = dict(referrer.annotations)
    return descriptor
