"""Tokens for those who log in, and for those who do not.

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
from lading.http.request_context import RequestContext
from lading.http.responses import Response, json_response
from lading.registry.errors import TOKEN_REQUEST_INVALID, UNAUTHORIZED, UNAVAILABLE, RegistryError

MAX_FORM_SIZE: Final = 64 * 1024
"""Bytes of a form."""

MAX_FIELDS: Final = 50

FORM_TIMEOUT: Final = 5.0
"""Seconds for a form to come."""

SLOT_TIMEOUT: Final = 0.1
"""Seconds that a form waits until others have been read."""


@dataclass
class OAuthError(Exception):
    """A form that is refused: the error of RFC 6749, section 5.2, its description, and the registry's own error."""

    error: str
    description: str
    cause: RegistryError


def issue(context: RequestContext) -> Response:
    """A token for what the caller may do of what is asked: by GET with Basic or nobody's, by POST with a form."""
    if context.request.method != "POST":
        return _token_response(context, context.caller, context.request.args.getlist("scope"))
    try:
        return _token_response(context, *_form(context))
    except OAuthError as refusal:
        return _error_response(context, refusal)


def _token_response(context: RequestContext, caller: Caller, wanted: Sequence[str]) -> Response:
    """The answer with a token. `access_token` says the same as `token`, for clients that read the one or the other.

    No refresh token is given out, whatever `offline_token` or `access_type` says: it would be a secret on the client's
    disk that lives on when a password, a robot or a Google account is taken back.
    """
    token = context.authenticator.issue_token(caller, scopes.parse(wanted))
    context.audit.principal = caller.principal
    # Every login begins with a request for more than an unauthenticated client may do: no line for each of its scopes.
    for scope in token.refused if caller.principal else ():
        context.audit.refused(",".join(scope.actions), scope.name, "token")
    answer = json_response(
        {
            "token": token.text,
            "access_token": token.text,
            "expires_in": token.expires_in,
            "issued_at": datetime.fromtimestamp(token.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": " ".join(map(str, token.granted)),
        }
    )
    answer.add({"Cache-Control": "no-store"})
    return answer


def _error_response(context: RequestContext, refusal: OAuthError) -> Response:
    """The answer to a form that will not do (RFC 6749, section 5.2), beside the specification's own `errors`."""
    told = {"error": refusal.error, "error_description": refusal.description, **responses.error_body(refusal.cause)}
    if refusal.cause.descriptor.status in LOGIN_REFUSALS:
        # The audit tells of a refused login as of any other.
        context.audit.decision("token", "", "", refusal.cause.descriptor.status)
    answer = json_response(told, 400)
    answer.add({"Cache-Control": "no-store"})
    return answer


def _form(context: RequestContext) -> tuple[Caller, Sequence[str]]:
    """Who comes with a form, and the scopes in it. What a refresh token stands for here is one of Google's tokens.

    Raises OAuthError, and UNAVAILABLE and TOO_MANY_LOGINS, whose status says more than an OAuth error could.
    """
    if not context.body.acquire_drain_slot(timeout=SLOT_TIMEOUT):
        raise RegistryError(UNAVAILABLE)
    content = context.body.read(MAX_FORM_SIZE, FORM_TIMEOUT)
    if content is None or context.request.mimetype != "application/x-www-form-urlencoded":
        raise _invalid("invalid_request", f"not a form of at most {MAX_FORM_SIZE} bytes")
    try:
        form = parse_qs(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _invalid("invalid_request", "not a form") from None
    return _authenticate(context, form), form.get("scope", [])


def _authenticate(context: RequestContext, form: Mapping[str, list[str]]) -> Caller:
    """Return the caller whom the grant of a form proves. Raises OAuthError, UNAVAILABLE, TOO_MANY_LOGINS."""
    grant = _field(form, "grant_type")
    if grant == "password":
        return _log_in(context, _field(form, "username"), _field(form, "password"))
    if grant == "refresh_token":
        return _log_in(context, "", _field(form, "refresh_token"))
    raise _invalid("unsupported_grant_type", "grant_type is password or refresh_token")


def _field(form: Mapping[str, list[str]], name: str) -> str:
    """Return a field that the form has once. Raises OAuthError."""
    values = form.get(name, [])
    if len(values) != 1:
        raise _invalid("invalid_request", f"{name} is not there once")
    return values[0]


def _invalid(error: str, reason: str) -> OAuthError:
    return OAuthError(error, reason, RegistryError(TOKEN_REQUEST_INVALID, {"reason": reason}))


def _log_in(context: RequestContext, user: str, secret: str) -> Caller:
    """Return the caller with these credentials. Raises as Door.log_in; the audit is told of a refusal."""
    try:
        return context.authenticator.log_in(user, secret, context.audit.origin.client)
    except RegistryError as error:
        if error.descriptor.status in LOGIN_REFUSALS:
            context.audit.record_login_attempt(user)
        if error.descriptor.code != UNAUTHORIZED.code:
            raise
        raise OAuthError("invalid_grant", error.descriptor.message, error) from error
