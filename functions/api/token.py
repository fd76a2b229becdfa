"""Tokens for those who log in, and for those who do not.

https://distribution.github.io/distribution/spec/auth/token/ (GET), …/oauth/ (POST)
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from functions.api.answers import Answer, as_json
from functions.api.base import Call
from functions.audit import LOGIN_REFUSALS
from functions.auth import scopes
from functions.auth.access import Caller
from functions.registry.errors import TOKEN_REQUEST_INVALID, UNAVAILABLE, RegistryError

LARGEST: Final = 64 * 1024
"""Bytes of a form."""

MOST_FIELDS: Final = 50

PATIENCE: Final = 5.0
"""Seconds for a form to come."""

WAIT: Final = 0.1
"""Seconds that a form waits until others have been read."""


def issue(call: Call) -> Answer:
    """A token for what the caller may do of what is asked: by GET with Basic or nobody's, by POST with a form.

    `access_token` says the same as `token`, for clients that read the one or the other. No refresh token is given out.
    """
    caller, wanted = _form(call) if call.request.method == "POST" else (call.caller, call.request.args.getlist("scope"))
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


def _form(call: Call) -> tuple[Caller, Sequence[str]]:
    """Who comes with a form, and the scopes in it. What a refresh token stands for here is one of Google's tokens."""
    if not call.body.take_place(seconds=WAIT):
        raise RegistryError(UNAVAILABLE)
    content = call.body.read(LARGEST, PATIENCE)
    if content is None or call.request.mimetype != "application/x-www-form-urlencoded":
        raise RegistryError(TOKEN_REQUEST_INVALID, {"reason": f"not a form of at most {LARGEST} bytes"})
    try:
        form = parse_qs(content.decode(), max_num_fields=MOST_FIELDS)
    except ValueError:
        raise RegistryError(TOKEN_REQUEST_INVALID, {"reason": "not a form"}) from None
    first = {name: values[0] for name, values in form.items()}
    match first.get("grant_type"):
        case "password":
            caller = _log_in(call, first.get("username", ""), first.get("password", ""))
        case "refresh_token":
            caller = _log_in(call, "", first.get("refresh_token", ""))
        case _:
            raise RegistryError(TOKEN_REQUEST_INVALID, {"reason": "grant_type is password or refresh_token"})
    return caller, form.get("scope", [])


def _log_in(call: Call, user: str, secret: str) -> Caller:
    """Return the caller with these credentials. Raises as Door.log_in; the audit is told of a refusal."""
    try:
        return call.door.log_in(user, secret, call.audit.origin.client)
    except RegistryError as error:
        if error.row.status in LOGIN_REFUSALS:
            call.audit.tried(user)
        raise
