"""Emulation of Cloud Scheduler's request to a function: an empty POST, as a service account.

https://cloud.google.com/scheduler/docs/http-target-auth
"""

from collections.abc import Mapping
from typing import Final

from emulators.invoker import invoke
from emulators.metadata import Account

HEADERS: Final[Mapping[str, str]] = {"User-Agent": "Google-Cloud-Scheduler", "X-CloudScheduler": "true"}


def call(url: str, account: Account, timeout: float = 60) -> tuple[int, bytes]:
    """Call the function at `url` as `account`; return the status and the body of the response."""
    return invoke(url, account, HEADERS, timeout=timeout)
