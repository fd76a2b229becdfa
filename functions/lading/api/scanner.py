"""Requests of a scanner that has no stores: it claims images, posts results, and brings vulnerability data up to date.

    POST /v2/_lading/scans/claims     ClaimRequest      an image to scan, if any is due
    POST /v2/_lading/scans/results    ResultMessage     what was found
    POST /v2/_lading/scans/token      TokenRequest      a token for the repositories of the claims that it holds
    POST /v2/_lading/scans/data       {}                which ecosystems images need, and the data that there is
    POST /v2/_lading/scans/checked    CheckedMessage    a source has nothing newer
    POST /v2/_lading/scans/published  PublishedMessage  a blob that the scanner has uploaded is new data

Only the service account of LADING_SCANNER may call them, with an ID token for this registry (Action.SCAN). It reads
layers as every client does, with the registry's token, which permits to pull from the repositories of its claims, and
to pull from and push to that of the vulnerability data.

Each request may be repeated. A claim whose response was lost ends by itself, and the image is claimed again.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from lading.auth.access import Action, Decision, allow_or_deny
from lading.auth.scopes import repository
from lading.http.responses import Response
from lading.json_values import parse, plain
from lading.registry.changes import Change
from lading.registry.errors import NOT_FOUND, REQUEST_INVALID, SCAN_CLAIM_UNKNOWN, RegistryError
from lading.registry.names import check_digest, check_repository
from lading.registry.scans.messages import (
    MAX_CLAIMS,
    MAX_RESULT,
    Accepted,
    CheckedMessage,
    ClaimRequest,
    ClaimResponse,
    DataResponse,
    Ecosystem,
    HeldClaim,
    PublishedMessage,
    ResultMessage,
    TokenRequest,
    TokenResponse,
)
from lading.registry.scans.vulnerability_data import VulnerabilityArtifacts
from lading.surface.request_context import RequestContext

M = TypeVar("M")

MAX_BODY: Final = 64 * 1024
"""Bytes of a request but for that with a result."""


@dataclass(frozen=True, slots=True)
class _Holder:
    """The scanner, with the rights of the claims that it holds, for a token."""

    principal: str
    readable: frozenset[str]
    writable: str

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        allowed = action in (Action.PULL, Action.PUSH) and repository == self.writable
        allowed |= action is Action.PULL and repository in self.readable
        return allow_or_deny(allowed, "the claims of the scanner")

    def readable_patterns(self) -> tuple[str, ...]:
        """See Caller.readable_patterns."""
        return ()


def claims(context: RequestContext) -> Response:
    """Scan claims: claim an image that is due."""
    request = _message(context, ClaimRequest)
    claimed = context.registry.scans.claims.claim(1, request.extractor)
    return _response(ClaimResponse(claim=claimed[0] if claimed else None))


def results(context: RequestContext) -> Response:
    """Scan results: accept the result of a claim; 409 if the scanner does not hold it."""
    message = _message(context, ResultMessage, MAX_RESULT)
    held = _checked(message.claim)
    context.registry.scans.results.accept(held.repository, held.digest, held.nonce, message.result)
    context.audit.record_change(Change("image-scanned", held.digest))
    return _response(Accepted())


def token(context: RequestContext) -> Response:
    """Scan token: return a token for the repositories of claims; 409 if the scanner does not hold one of them."""
    request = _message(context, TokenRequest)
    if len(request.claims) > MAX_CLAIMS:
        raise _invalid(f"there are more than {MAX_CLAIMS} claims")
    for each in request.claims:
        held = _checked(each)
        if not context.registry.scans.is_held(held.repository, held.digest, held.nonce):
            raise RegistryError(SCAN_CLAIM_UNKNOWN)
    data = _data(context).repository
    readable = frozenset(each.repository for each in request.claims)
    scopes = [repository(name, ["pull"]) for name in sorted(readable - {data})]
    holder = _Holder(context.caller.principal, readable, data)
    try:
        issued = context.authenticator.issue_token(holder, [*scopes, repository(data, ["pull", "push"])])
    except RegistryError as error:
        if error.descriptor is not NOT_FOUND:
            raise
        return _response(TokenResponse(token="", expires_in=0))  # a registry without access control
    return _response(TokenResponse(token=issued.text, expires_in=issued.expires_in))


def data(context: RequestContext) -> Response:
    """Scan data: return which ecosystems images need, and what the registry has of each."""
    _read(context, MAX_BODY)
    artifacts = _data(context)
    records = artifacts.records()
    current = artifacts.current([each.id for each in records])
    ecosystems = []
    for each in records:
        found = current.get(each.id)
        ecosystems.append(
            Ecosystem(
                id=each.id,
                etag=each.etag,
                checked=each.checked,
                error=each.error,
                digest=found.digest if found else "",
                layer=found.layer if found else None,
            )
        )
    return _response(DataResponse(repository=artifacts.repository, ecosystems=ecosystems))


def checked(context: RequestContext) -> Response:
    """Scan checked: record that a source was asked."""
    message = _message(context, CheckedMessage)
    _needed(context, message.ecosystem).record_check(message.ecosystem, message.error)
    return _response(Accepted())


def published(context: RequestContext) -> Response:
    """Scan published: make an uploaded blob the data of an ecosystem."""
    message = _message(context, PublishedMessage)
    check_digest(message.layer.digest)
    digest = _needed(context, message.ecosystem).publish_uploaded(message.ecosystem, message.layer, message.etag)
    context.audit.record_change(Change("vulnerabilities-updated", digest))
    return _response(Accepted(digest=digest))


def _data(context: RequestContext) -> VulnerabilityArtifacts:
    return context.registry.scans.vulnerability_data(context.registry.vulnerability_repository)


def _needed(context: RequestContext, ecosystem: str) -> VulnerabilityArtifacts:
    """Return the data of the registry. Raises REQUEST_INVALID for an ecosystem that no image needs."""
    artifacts = _data(context)
    if ecosystem not in [each.id for each in artifacts.records()]:
        raise _invalid("no image needs data of this ecosystem")
    return artifacts


def _checked(held: HeldClaim) -> HeldClaim:
    """Return a claim whose names have the form of names."""
    check_repository(held.repository)
    check_digest(held.digest)
    return held


def _message(context: RequestContext, kind: type[M], max_size: int = MAX_BODY) -> M:
    """Return the message in the body. Raises REQUEST_INVALID."""
    try:
        return parse(kind, _read(context, max_size))
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from None


def _read(context: RequestContext, max_size: int) -> Any:
    content = context.body.read(max_size)
    if content is None:
        raise _invalid(f"the body has more than {max_size} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise _invalid("the body is no JSON") from None


def _response(message: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(message, default=plain).encode())


def _invalid(reason: str) -> RegistryError:
    return RegistryError(REQUEST_INVALID, {"reason": reason[:500]})
