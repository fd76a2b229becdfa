"""Tokens for those who log in, and for those who do not.

https://distribution.github.io/distribution/spec/auth/token/ (GET), …/oauth/ (POST)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from functions.api import answers
from functions.api.answers import Answer, as_json
from functions.api.base import Call
from functions.audit import LOGIN_REFUSALS
from functions.auth import scopes
from functions.auth.access import Caller
from functions.registry.errors import TOKEN_REQUEST_INVALID, UNAUTHORIZED, UNAVAILABLE, RegistryError

LARGEST: Final = 64 * 1024
"""Bytes of a form."""

MOST_FIELDS: Final = 50

PATIENCE: Final = 5.0
"""Seconds for a form to come."""

WAIT: Final = 0.1
"""Seconds that a form waits until others have been read."""


@dataclass
class OAuthError(Exception):
    """A form that is refused: the error of RFC 6749, section 5.2, its description, and the registry's own error."""

    error: str
    description: str
    cause: RegistryError


def issue(call: Call) -> Answer:
    """A token for what the caller may do of what is asked: by GET with Basic or nobody's, by POST with a form."""
    if call.request.method != "POST":
        return _issued(call, call.caller, call.request.args.getlist("scope"))
    try:
        return _issued(call, *_form(call))
    except OAuthError as refusal:
        return _refused(call, refusal)


def _issued(call: Call, caller: Caller, wanted: Sequence[str]) -> Answer:
    """The answer with a token. `access_token` says the same as `token`, for clients that read the one or the other.

    No refresh token is given out, whatever `offline_token` or `access_type` says: it would be a secret on the client's
    disk that lives on when a password, a robot or a Google account is taken back.
    """
    token = call.door.issue(caller, scopes.parse(wanted))
    call.audit.principal = caller.principal
    # Every login begins with a request for more than an unauthenticated client may do: no line for each of its scopes.
    for scope in token.refused if caller.principal else ():
        call.audit.refused(",".join(scope.actions), scope.name, "token")
    answer = as_json(
        {
            "token": token.text,
            "access_token": token.text,
            "expires_in": token.seconds,
            "issued_at": datetime.fromtimestamp(token.issued, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": " ".join(map(str, token.granted)),
        }
    )
    answer.add({"Cache-Control": "no-store"})
    return answer


def _refused(call: Call, refusal: OAuthError) -> Answer:
    """The answer to a form that will not do (RFC 6749, section 5.2), beside the specification's own `errors`."""
    told = {"error": refusal.error, "error_description": refusal.description, **answers.described(refusal.cause)}
    if refusal.cause.row.status in LOGIN_REFUSALS:
        # The audit tells of a refused login as of any other.
        call.audit.decision("token", "", "", refusal.cause.row.status)
    answer = as_json(told, 400)
    answer.add({"Cache-Control": "no-store"})
    return answer


def _form(call: Call) -> tuple[Caller, Sequence[str]]:
    """Who comes with a form, and the scopes in it. What a refresh token stands for here is one of Google's tokens.

    Raises OAuthError, and UNAVAILABLE and LOGINS_TOO_MANY, whose status says more than an OAuth error could.
    """
    if not call.body.take_place(seconds=WAIT):
        raise RegistryError(UNAVAILABLE)
    content = call.body.read(LARGEST, PATIENCE)
    if content is None or call.request.mimetype != "application/x-www-form-urlencoded":
        raise _invalid("invalid_request", f"not a form of at most {LARGEST} bytes")
    try:
        form = parse_qs(content.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise _invalid("invalid_request", "not a form") from None
    return _granted(call, form), form.get("scope", [])


def _granted(call: Call, form: Mapping[str, list[str]]) -> Caller:
    """Return the caller whom the grant of a form proves. Raises OAuthError, UNAVAILABLE, LOGINS_TOO_MANY."""
    grant = _field(form, "grant_type")
    if grant == "password":
        return _log_in(call, _field(form, "username"), _field(form, "password"))
    if grant == "refresh_token":
        return _log_in(call, "", _field(form, "refresh_token"))
    raise _invalid("unsupported_grant_type", "grant_type is password or refresh_token")


def _field(form: Mapping[str, list[str]], name: str) -> str:
    """Return a field that the form has once. Raises OAuthError."""
    values = form.get(name, [])
    if len(values) != 1:
        raise _invalid("invalid_request", f"{name} is not there once")
    return values[0]


def _invalid(error: str, reason: str) -> OAuthError:
    return OAuthError(error, reason, RegistryError(TOKEN_REQUEST_INVALID, {"reason": reason}))


def _log_in(call: Call, user: str, secret: str) -> Caller:
    """Return the caller with these credentials. Raises as Door.log_in; the audit is told of a refusal."""
    try:
        return call.door.log_in(user, secret, call.audit.origin.client)
    except RegistryError as error:
        if error.row.status in LOGIN_REFUSALS:
            call.audit.tried(user)
        if error.row.code != UNAUTHORIZED.code:
            raise
        raise OAuthError("invalid_grant", error.row.message, error) from error
