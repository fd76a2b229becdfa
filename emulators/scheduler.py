"""Emulation of Cloud Scheduler's request to a function that requires authentication, as Cloud Run forwards it.

Cloud Scheduler sends a POST with an ID token of its service account, whose audience is the function's address. Cloud
Run verifies the token, and forwards the request with the signature of the token removed.

https://cloud.google.com/scheduler/docs/http-target-auth
https://cloud.google.com/run/docs/authenticating/service-to-service
"""

import urllib.error
import urllib.request
from typing import Final

from emulators.metadata import Account, identity_token

SIGNATURE: Final = "SIGNATURE_REMOVED_BY_GOOGLE"


def call(url: str, account: Account, timeout: float = 60) -> tuple[int, bytes]:
    """Call the function at `url` as `account`; return the status and the body of the response."""
    signed = identity_token(account, url)
    headers = {
        "Authorization": f"Bearer {signed.rpartition('.')[0]}.{SIGNATURE}",
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
    }
    request = urllib.request.Request(url, data=b"", headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
