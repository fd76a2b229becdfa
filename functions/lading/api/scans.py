"""Scans of images, for readers and for those who want another one.

    GET  /v2/_lading/<name>/scan?tag=<tag>&format=<format>     the result of the last scan of an image
    GET  /v2/_lading/<name>/scan?digest=<digest>               the same, by a digest or its first digits
    POST /v2/_lading/<name>/scan?tag=<tag>                     scan an image again
    POST /v2/_lading/<name>/scan?missing=true&last=<digest>    scan a page of images that never were

Of an index, `platform` chooses the image; it is not needed where there is only one. The formats are those of
registry.scan_formats, and docs/scanning.md describes them. A result is no secret to whom may pull the image: the same
can be found out from its layers.
"""

from typing import Final

from lading.api.history import may_see_past
from lading.api.inspection import named_digest, search_slot
from lading.http.responses import Response, json_response
from lading.registry.changes import Change
from lading.registry.errors import QUERY_INVALID, REQUEST_INVALID, RegistryError
from lading.registry.names import check_digest_prefix, is_digest_reference, parse_as_of
from lading.registry.scan_formats import FORMATS, JSON, ScannedImage
from lading.registry.scans.missing import SCANS_OFF
from lading.surface.request_context import RequestContext, start_after

IMAGE: Final = ("tag", "digest", "platform")
"""Parameters that name an image."""


def scan(context: RequestContext) -> Response:
    """scan: return the result of the last scan of an image. No pull is recorded."""
    name = context.request.args.get("format", JSON)
    if name not in FORMATS:
        raise RegistryError(QUERY_INVALID, {"format": name[:80], "known": ", ".join(FORMATS)})
    with search_slot(context):
        image = ScannedImage(context.url, context.name, _image(context))
        content = FORMATS[name].render(context.registry.image_scans, image)
    return Response(200, {"Content-Type": FORMATS[name].media_type}, content)


def again(context: RequestContext) -> Response:
    """Scan again: make an image due for a scan. A retry changes nothing while the scan is due."""
    if not context.registry.scans_images:
        raise RegistryError(REQUEST_INVALID, {"reason": SCANS_OFF})
    if "missing" in context.request.args:
        return _missing(context)
    with search_slot(context):
        digest = _image(context)
    facts = context.registry.scans.again(context.name, digest)
    context.audit.record_change(Change("scan-requested", digest))
    return json_response({"repository": context.name, "digest": digest, "state": facts.state}, 202)


def _missing(context: RequestContext) -> Response:
    """Make the images of a page that were never scanned due. A retry passes over what is due."""
    if context.request.args["missing"] != "true" or any(name in context.request.args for name in IMAGE):
        raise RegistryError(REQUEST_INVALID, {"reason": "missing=true is for all images of the repository"})
    with search_slot(context):
        context.registry.tags.require(context.name)
        page = context.registry.scans.missing.request(context.name, start_after(context))
    if page.items:
        context.audit.record_change(Change("scan-requested", also=tuple(page.items)))
    return json_response({"repository": context.name, "requested": len(page.items), "next": page.next}, 202)


def _image(context: RequestContext) -> str:
    """Return the digest of the image that the parameters name. Raises RegistryError."""
    tag, digest, platform = (context.request.args.get(name, "") for name in IMAGE)
    if bool(tag) == bool(digest):
        raise RegistryError(REQUEST_INVALID, {"reason": "one of tag and digest is needed"})
    if digest:
        check_digest_prefix(digest)
        digest = named_digest(context, digest)
        return context.registry.image_scans.image(context.name, digest, platform)
    if is_digest_reference(tag):
        raise RegistryError(REQUEST_INVALID, {"reason": "the parameter of a digest is named digest"})
    only_present = parse_as_of(tag) is not None and not may_see_past(context)
    return context.registry.image_scans.image(context.name, tag, platform, only_present=only_present)
