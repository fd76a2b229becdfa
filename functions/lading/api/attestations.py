"""Requests of the attester, which has no stores: it asks which images pass the policies that are enforced.

    POST /v2/_lading/attestations/repositories  RepositoriesRequest  a page of all repositories
    POST /v2/_lading/attestations/images        ImagesRequest        a page of the images and indexes of one
    POST /v2/_lading/attestations/decisions     DecisionsRequest     whether images pass
    POST /v2/_lading/attestations/position      PositionRequest      where the sweep goes on
    POST /v2/_lading/attestations/keep-position SweepPosition        keep that

Only the service account of LADING_ATTESTER may call them, with an ID token for this registry (Action.ATTEST). It can
pull nothing, and learns names, digests and reasons. Nothing is changed but the position, so that each request may be
repeated.
"""

import json
from typing import Any, Final, TypeVar

from lading.api.inspection import search_slot
from lading.http.responses import Response
from lading.json_values import parse, plain
from lading.registry.attestations.messages import (
    MAX_DIGESTS,
    DecisionsRequest,
    DecisionsResponse,
    ImagesRequest,
    NamesResponse,
    PositionRequest,
    RepositoriesRequest,
    SweepPosition,
)
from lading.registry.attestations.passing_images import PAGE_SIZE
from lading.registry.errors import REQUEST_INVALID, RegistryError
from lading.registry.names import check_digest, check_repository
from lading.registry.pagination import Page
from lading.surface.request_context import RequestContext

M = TypeVar("M")

MAX_BODY: Final = 64 * 1024
"""Bytes of a request."""


def repositories(context: RequestContext) -> Response:
    """Attestation repositories: return a page of all repositories."""
    request = _message(context, RepositoriesRequest)
    if request.after:
        check_repository(request.after)
    with search_slot(context):
        return _names(context.registry.repositories(request.after, PAGE_SIZE))


def images(context: RequestContext) -> Response:
    """Attestation images: return a page of the digests of the images and indexes of a repository."""
    request = _message(context, ImagesRequest)
    check_repository(request.repository)
    if request.after:
        check_digest(request.after)
    with search_slot(context):
        return _names(context.registry.passing_images.images(request.repository, request.after))


def decisions(context: RequestContext) -> Response:
    """Attestation decisions: return whether images pass."""
    request = _message(context, DecisionsRequest)
    check_repository(request.repository)
    if len(request.digests) > MAX_DIGESTS:
        raise _invalid(f"there are more than {MAX_DIGESTS} digests")
    for each in request.digests:
        check_digest(each)
    found = context.registry.passing_images.decide(request.repository, request.digests, related=request.related)
    return _response(DecisionsResponse(decisions=found))


def position(context: RequestContext) -> Response:
    """Attestation position: return where the sweep goes on."""
    _message(context, PositionRequest)
    return _response(context.registry.kept_position.read())


def keep_position(context: RequestContext) -> Response:
    """Attestation keep-position: keep where the sweep goes on."""
    kept = _message(context, SweepPosition)
    if kept.repository:
        check_repository(kept.repository)
    if kept.digest:
        check_digest(kept.digest)
    context.registry.kept_position.keep(kept)
    return _response(kept)


def _names(page: Page[str]) -> Response:
    return _response(NamesResponse(names=page.items, next=page.next))


def _message(context: RequestContext, kind: type[M]) -> M:
    """Return the message in the body. Raises REQUEST_INVALID."""
    content = context.body.read(MAX_BODY)
    if content is None:
        raise _invalid(f"the body has more than {MAX_BODY} bytes")
    try:
        return parse(kind, json.loads(content))
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from None


def _response(message: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(message, default=plain).encode())


def _invalid(reason: str) -> RegistryError:
    return RegistryError(REQUEST_INVALID, {"reason": reason[:500]})
