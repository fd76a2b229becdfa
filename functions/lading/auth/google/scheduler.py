"""Authentication of the requests of Cloud Scheduler and Eventarc, which carry an ID token of a service account.

https://cloud.google.com/scheduler/docs/http-target-auth
https://cloud.google.com/eventarc/docs/run/roles-permissions
"""

import hmac
import os
import time

from lading.auth.credentials import Bearer, claims_of, parse_authorization
from lading.auth.google.id_tokens import ISSUERS, MAX_CLOCK_SKEW, IdTokens
from lading.registry.errors import DENIED, UNAUTHORIZED, RegistryError


def check(authorization: str, account: str, id_tokens: IdTokens, variable: str = "LADING_COLLECTOR") -> None:
    """Check that the Authorization header of a request authenticates the service account.

    On Cloud Run the platform has verified the token and its audience before (the function must not allow
    unauthenticated callers), and has removed the signature, so only the claims are read. Elsewhere the token is
    verified.

    Args:
        authorization: the header.
        account: e-mail address of the service account; "" refuses every request.
        id_tokens: verifies the token outside Cloud Run.
        variable: the setting that names the account.

    Raises:
        RegistryError: UNAUTHORIZED if the token is invalid, DENIED if it is another account's.
    """
    credentials = parse_authorization(authorization)
    if not isinstance(credentials, Bearer):
        raise RegistryError(UNAUTHORIZED)
    token = credentials.token
    email = _email(token) if os.environ.get("K_SERVICE") else id_tokens.email(token)
    if not account or not hmac.compare_digest(email.encode(), account.encode()):
        raise RegistryError(DENIED, {"reason": f"only the account of {variable} may call this function"})


def _email(token: str) -> str:
    """Return the e-mail address in a token that the platform has verified. Raises UNAUTHORIZED."""
    claims = claims_of(token)
    email, expiry = claims.get("email"), claims.get("exp")
    is_current = isinstance(expiry, int) and expiry + MAX_CLOCK_SKEW > time.time()
    is_verified = claims.get("iss") in ISSUERS and claims.get("email_verified") is True
    if not isinstance(email, str) or not email.isprintable() or not is_verified or not is_current:
        raise RegistryError(UNAUTHORIZED)
    return email
