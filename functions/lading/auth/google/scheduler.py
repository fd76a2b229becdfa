"""Cloud Scheduler's calls: they come with an ID token of a service account.

https://cloud.google.com/scheduler/docs/http-target-auth
"""

import hmac
import os
import time

from lading.auth.credentials import Bearer, claims_of, parse_authorization
from lading.auth.google.id_tokens import ISSUERS, MAX_CLOCK_SKEW, IdTokens
from lading.registry.errors import DENIED, UNAUTHORIZED, RegistryError


def check(authorization: str, account: str, id_tokens: IdTokens) -> None:
    """Whether a request with this Authorization header comes from the service account. Raises UNAUTHORIZED, DENIED.

    In Cloud Run the platform has verified token and audience before the request comes here (the function must not be
    open to all), and has taken the signature away; so there only the name is read. Elsewhere the token is verified.
    """
    sent = parse_authorization(authorization)
    if not isinstance(sent, Bearer):
        raise RegistryError(UNAUTHORIZED)
    email = _email(sent.token) if os.environ.get("K_SERVICE") else id_tokens.email(sent.token)
    if not account or not hmac.compare_digest(email.encode(), account.encode()):
        raise RegistryError(DENIED, {"reason": "only the account of LADING_COLLECTOR may collect"})


def _email(token: str) -> str:
    """Whom a token names that the platform has verified."""
    claims = claims_of(token)
    email, expiry = claims.get("email"), claims.get("exp")
    alive = isinstance(expiry, int) and expiry + MAX_CLOCK_SKEW > time.time()
    issued = claims.get("iss") in ISSUERS and claims.get("email_verified") is True
    if not isinstance(email, str) or not email.isprintable() or not issued or not alive:
        raise RegistryError(UNAUTHORIZED)
    return email
