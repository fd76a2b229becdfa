"""The token endpoint, for authenticated and anonymous clients.

https://distribution.github.io/distribution/spec/auth/token/ (GET), …/oauth/ (POST)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from lading.audit import LOGIN_REFUSALS
from lading.auth import scopes
from lading.auth.access import Caller
from lading.http import responses
from lading.http.responses import Response, json_response
from lading.registry.errors import TOKEN_REQUEST_INVALID, UNAUTHORIZED, UNAVAILABLE, RegistryError
from lading.surface.request_context import RequestContext

MAX_FORM_SIZE: Final = 64 * 1024
"""Maximum bytes of a form."""

MAX_FIELDS: Final = 50
"""Maximum fields of a form."""

FORM_TIMEOUT: Final = 5.0
"""Seconds for a form to arrive."""

SLOT_TIMEOUT: Final = 0.1
"""Seconds that a form waits for a drain slot."""


@dataclass
class OAuthError(Exception):
    """An OAuth error response.

    error        the error code of RFC 6749, section 5.2
    description  its description
    cause        the registry's own error
    """

    error: str
    description: str
    cause: RegistryError


def issue(context: RequestContext) -> Response:
    """token: issue a token for the requested scopes, as far as the caller has the rights.

    GET takes Basic credentials or none, POST a form (OAuth 2.0).
    """
    if context.request.method != "POST":
        return _token_response(context, context.caller, context.request.args.getlist("scope"))
    try:
        return _token_response(context, *_form(context))
    except OAuthError as error:
        return _error_response(context, error)


def _token_response(context: RequestContext, caller: Caller, requested: Sequence[str]) -> Response:
    """Return the response with a token, as `token` and as `access_token`, since clients read either.

    No refresh token is issued, whatever `offline_token` or `access_type` says: it would be a secret on the client's
    disk that stays valid when a password, a robot or a Google account is revoked.
    """
    token = context.authenticator.issue_token(caller, scopes.parse(requested))
    context.audit.principal = caller.principal
    # Every login begins with an anonymous request for more than such a client may do, so those refusals are not logged.
    for scope in token.refused if caller.principal else ():
        context.audit.refused(",".join(scope.actions), scope.name, "token")
    response = json_response(
        {
            "token": token.text,
            "access_token": token.text,
            "expires_in": token.expires_in,
            "issued_at": datetime.fromtimestamp(token.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": " ".join(map(str, token.granted)),
        }
    )
    response.add({"Cache-Control": "no-store"})
    return response


def _error_response(context: RequestContext, error: OAuthError) -> Response:
    """Return the response to an invalid form (RFC 6749, section 5.2), with the distribution-spec's `errors` as well."""
    body = {"error": error.error, "error_description": error.description, **responses.error_body(error.cause)}
    if error.cause.descriptor.status in LOGIN_REFUSALS:
        # The status is 400, so App would not record this refused login.
        context.audit.decision("token", "", "", error.cause.descriptor.status)
    response = json_response(body, 400)
    response.add({"Cache-Control": "no-store"})
    return response


def _form(context: RequestContext) -> tuple[Caller, Sequence[str]]:
    """Return the caller whom a form authenticates, and the requested scopes.

    Raises:
        OAuthError: the form is invalid, or its credentials are.
        RegistryError: UNAVAILABLE or TOO_MANY_LOGINS, whose statuses are more specific than an OAuth error.
    """
    if not context.body.acquire_drain_slot(timeout=SLOT_TIMEOUT):
        raise RegistryError(UNAVAILABLE)
    content = context.body.read(MAX_FORM_SIZE, FORM_TIMEOUT)
    if content is None or context.request.mimetype != "application/x-www-form-urlencoded":
        raise _invalid("invalid_request", f"the body is not a form of at most {MAX_FORM_SIZE} bytes")
    try:
        form = parse_qs(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _invalid("invalid_request", "the body is not a form") from None
    return _authenticate(context, form), form.get("scope", [])


def _authenticate(context: RequestContext, form: Mapping[str, list[str]]) -> Caller:
    """Return the caller whom the grant of a form authenticates; a refresh token is one of Google's tokens here.

    Raises OAuthError, UNAVAILABLE, TOO_MANY_LOGINS.
    """
    grant = _field(form, "grant_type")
    if grant == "password":
        return _log_in(context, _field(form, "username"), _field(form, "password"))
    if grant == "refresh_token":
        return _log_in(context, "", _field(form, "refresh_token"))
    raise _invalid("unsupported_grant_type", "grant_type must be password or refresh_token")


def _field(form: Mapping[str, list[str]], name: str) -> str:
    """Return the value of a field that the form must have exactly once. Raises OAuthError."""
    values = form.get(name, [])
    if len(values) != 1:
        raise _invalid("invalid_request", f"the form must have {name} exactly once")
    return values[0]


def _invalid(error: str, reason: str) -> OAuthError:
    return OAuthError(error, reason, RegistryError(TOKEN_REQUEST_INVALID, {"reason": reason}))


def _log_in(context: RequestContext, user: str, secret: str) -> Caller:
    """Return the caller with these credentials; record a refused login. Raises as Authenticator.log_in, OAuthError."""
    try:
        return context.authenticator.log_in(user, secret, context.audit.origin.client)
    except RegistryError as error:
        if error.descriptor.status in LOGIN_REFUSALS:
            context.audit.record_login_attempt(user)
        if error.descriptor.code != UNAUTHORIZED.code:
            raise
        raise OAuthError("invalid_grant", error.descriptor.message, error) from error
