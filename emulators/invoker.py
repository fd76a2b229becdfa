"""Emulation of a call to a function that requires authentication, as Cloud Run forwards it.

The caller sends an ID token of a service account, whose audience is the function's address. Cloud Run verifies the
token, and forwards the request with the signature of the token removed.

https://cloud.google.com/run/docs/authenticating/service-to-service
"""

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

from emulators.metadata import Account, identity_token

SIGNATURE: Final = "SIGNATURE_REMOVED_BY_GOOGLE"


def invoke(
    url: str, account: Account, headers: Mapping[str, str], body: bytes = b"", timeout: float = 60
) -> tuple[int, bytes]:
    """Send a POST to the function at `url` as `account`; return the status and the body of the response."""
    signed = identity_token(account, url)
    authorization = f"Bearer {signed.rpartition('.')[0]}.{SIGNATURE}"
    request = urllib.request.Request(url, data=body, headers={**headers, "Authorization": authorization}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
