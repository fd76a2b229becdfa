"""The calls to Google that decide who may come in: each with the caller's own token, and none with a right of ours.

LADING_IAM_EMULATOR_HOST names another address for all of them (`python -m emulators`).
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import requests

from lading.auth.bulkhead import Bulkhead
from lading.auth.google.subject import IamSubject
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError

TIMEOUTS: Final = (3.05, 10)
"""Seconds to connect, and seconds without a byte."""

MAX_CONCURRENT_QUERIES: Final = 64
MAX_WAITING_QUERIES: Final = 32
"""Questions at a time, and questions that may wait: a quarter of the server's threads, by default, is left."""

RESERVED_QUERIES: Final = 16
"""Of the questions at a time, for callers to whom something was granted lately."""

CERTIFICATES_SUBJECT: Final = IamSubject("", known=True)
"""Asks for the keys of ID tokens: all callers wait for the same, so it counts in no share."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class Reply:
    """What one of Google's services said: a status, and the fields of its JSON."""

    status: int
    fields: Mapping[str, Any]

    @property
    def permissions(self) -> frozenset[str]:
        """Of a testIamPermissions: those that the caller has."""
        held = self.fields.get("permissions", [])
        if self.status != 200 or not isinstance(held, list):
            return frozenset()
        return frozenset(each for each in held if isinstance(each, str))


class GoogleClient:
    """Google's services, as far as access is concerned. Any thread may use it.

    Every method raises UNAVAILABLE where the service cannot be reached, or says that it fails.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Ask Google, or the emulator that the environment names."""
        self._emulator = environment.get("LADING_IAM_EMULATOR_HOST", "").rstrip("/")
        self._bulkhead = Bulkhead(MAX_CONCURRENT_QUERIES, MAX_WAITING_QUERIES, reserved=RESERVED_QUERIES)

    def token_info(self, subject: IamSubject) -> Mapping[str, Any] | None:
        """What is known of an access token: email, sub, azp, scope …; None where it is bad, or of another kind.

        Any answer but 200, 429 and 5xx says that the token is not known, and so nothing in favour of it.

        https://oauth2.googleapis.com/tokeninfo; the token goes in the body, since URLs end in logs.
        """
        reply = self._ask(
            "POST", "https://oauth2.googleapis.com/tokeninfo", subject, data={"access_token": subject.token}
        )
        return reply.fields if reply.status == 200 else None

    def test_bucket_permissions(
        self, subject: IamSubject, bucket: str, folder: str, permissions: Sequence[str]
    ) -> Reply:
        """Which of `permissions` the token has on a managed folder of a bucket, or on the bucket where `folder` is "".

        https://cloud.google.com/storage/docs/json_api/v1/managedFolder/testIamPermissions (and …/buckets/…)
        404 says that there is no such folder. Raises UNAUTHORIZED where Google does not take the token.
        """
        url = f"https://storage.googleapis.com/storage/v1/b/{quote(bucket, safe='')}"
        if folder:
            url += f"/managedFolders/{quote(folder, safe='')}"
        reply = self._ask(
            "GET", f"{url}/iam/testPermissions", subject, subject.token, params={"permissions": list(permissions)}
        )
        if reply.status == 401:
            raise RegistryError(UNAUTHORIZED)
        return reply

    def test_project_permissions(self, subject: IamSubject, project: str, permissions: Sequence[str]) -> Reply:
        """Which of `permissions` the token has on a project. Raises UNAUTHORIZED where Google does not take the token.

        https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
        """
        url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{quote(project, safe='')}:testIamPermissions"
        reply = self._ask("POST", url, subject, subject.token, json={"permissions": list(permissions)})
        if reply.status == 401:
            raise RegistryError(UNAUTHORIZED)
        return reply

    def certificates(self) -> Reply:
        """The keys that sign Google's ID tokens, as a JWKS (https://developers.google.com/identity/openid-connect)."""
        return self._ask("GET", "https://www.googleapis.com/oauth2/v3/certs", CERTIFICATES_SUBJECT)

    def _ask(self, method: str, url: str, subject: IamSubject, token: str = "", **body: Any) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        where = url.partition("?")[0]
        try:
            with self._bulkhead.slot(subject.network, subject.known, subject.principal):
                answer = _session().request(
                    method, self._address(url), headers=headers, timeout=TIMEOUTS, allow_redirects=False, **body
                )
            fields = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError, RecursionError) as error:
            # The latter two are JSON that Python does not read: too deep, or with a number of too many digits.
            # Only its kind: the texts of such errors quote what was sent.
            raise service_unavailable(where, type(error).__name__) from None
        if answer.status_code == 429 or answer.status_code >= 500 or not isinstance(fields, dict):
            raise service_unavailable(where, str(answer.status_code))
        return Reply(answer.status_code, fields)

    def _address(self, url: str) -> str:
        return f"{self._emulator}/{url.split('/', 3)[3]}" if self._emulator else url


def service_unavailable(where: str, what: str) -> RegistryError:
    """The error for a service that says neither yes nor no."""
    log.warning("%s gave no answer: %s", where, what)
    return RegistryError(UNAVAILABLE)


@cache
def _session() -> requests.Session:
    """The process's connections to Google."""
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=MAX_CONCURRENT_QUERIES))
    # Whatever ~/.netrc holds for a host would take the place of the caller's token.
    session.trust_env = False
    session.proxies = requests.utils.get_environ_proxies("https://googleapis.com")
    return session
