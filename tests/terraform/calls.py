"""The calls that code makes to Google's APIs with a right of its own, and the permission that each needs.

Calls with a caller's token need no right of ours: who may do what is asked with it. They go to other addresses here.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import pytest
import urllib3

OVER_REST: Final = (
    # https://cloud.google.com/storage/docs/access-control/iam-json
    (r"POST /upload/storage/v1/b/[^/]+/o", {"storage.objects.create"}),
    (r"POST /storage/v1/b/[^/]+/o/[^/]+/compose", {"storage.objects.create", "storage.objects.get"}),
    # Without the right to list, what is not there is answered 403, and not 404, which the code relies on.
    (r"GET (/download)?/storage/v1/b/[^/]+/o/[^/]+", {"storage.objects.get", "storage.objects.list"}),
    (r"DELETE /storage/v1/b/[^/]+/o/[^/]+", {"storage.objects.delete", "storage.objects.list"}),
    (r"GET /storage/v1/b/[^/]+/o", {"storage.objects.list"}),
    # https://cloud.google.com/storage/docs/access-control/signed-urls: read with the right of who signed.
    (r"GET /[^/]+/blobs/.+", {"storage.objects.get"}),
    # https://cloud.google.com/secret-manager/docs/access-control
    (r"GET /v1/projects/[^/]+/secrets/[^/]+/versions/[^/]+:access", {"secretmanager.versions.access"}),
    # https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    (r"POST /v1/projects/-/serviceAccounts/[^/]+:signBlob", {"iam.serviceAccounts.signBlob"}),
    # https://cloud.google.com/pubsub/docs/access-control
    (r"POST /v1/projects/[^/]+/topics/[^/]+:publish", {"pubsub.topics.publish"}),
    # https://cloud.google.com/container-analysis/docs/ca-iam
    (
        r"POST /v1/projects/[^/]+/occurrences",
        {"containeranalysis.notes.attachOccurrence", "containeranalysis.occurrences.create"},
    ),
    (r"PATCH /v1/projects/[^/]+/occurrences/[^/]+", {"containeranalysis.occurrences.update"}),
    (r"GET /v1/projects/[^/]+/notes/[^/]+/occurrences", {"containeranalysis.notes.listOccurrences"}),
    # https://cloud.google.com/kms/docs/reference/permissions-and-roles
    (
        r"POST /v1/projects/[^/]+/locations/[^/]+/keyRings/.+/cryptoKeyVersions/[0-9]+:asymmetricSign",
        {"cloudkms.cryptoKeyVersions.useToSign"},
    ),
    # https://cloud.google.com/firestore/docs/security/iam, for this and all below
    (r"POST /v1/projects/[^/]+/databases/[^/]+/documents:batchGet", {"datastore.entities.get"}),
    # Creates and updates alone (lading_storage.google.firestore_rest).
    (
        r"POST /v1/projects/[^/]+/databases/[^/]+/documents:commit",
        {"datastore.entities.create", "datastore.entities.update"},
    ),
)

FOR_NOTHING: Final = (
    # With the caller's own token, or with none.
    r"GET /storage/v1/b/[^/]+(/managedFolders/[^/]+)?/iam/testPermissions",
    r"POST /tokeninfo",
    r"GET /oauth2/v3/certs",
    # To the registry itself, with an ID token.
    r"POST /v2/_lading/attestations/(repositories|images|decisions)",
)

OVER_GRPC: Final = {
    "BatchGetDocuments": {"datastore.entities.get"},
    "RunQuery": {"datastore.entities.get", "datastore.entities.list"},
}


class Calls:
    """What was called, and what it needs."""

    def __init__(self) -> None:
        self.needed: set[str] = set()
        self.unknown: set[str] = set()
        self.queried: set[str] = set()

    def over_rest(self, method: str, url: str) -> None:
        """A request."""
        call = f"{method} {urlsplit(url).path}"
        if any(re.fullmatch(pattern, call) for pattern in FOR_NOTHING):
            return
        needed = next((needed for pattern, needed in OVER_REST if re.fullmatch(pattern, call)), None)
        if needed is None:
            self.unknown.add(call)
        else:
            self.needed |= needed

    def over_grpc(self, method: str, request: Any) -> None:
        """A call of Firestore's."""
        name = method.rpartition("/")[2]
        if name == "Commit":
            for write in request.writes:
                self.needed |= _of_write(write)
        elif name in OVER_GRPC:
            self.needed |= OVER_GRPC[name]
        else:
            self.unknown.add(method)
        if name == "RunQuery" and request.structured_query.from_[0].all_descendants:
            query = request.structured_query
            # A range of one field is two filters of it.
            filters = [each.field_filter for each in query.where.composite_filter.filters] or [query.where.field_filter]
            self.queried |= {f"{query.from_[0].collection_id}.{each.field.field_path}" for each in filters}


def _of_write(write: Any) -> set[str]:
    if "delete" in write:
        return {"datastore.entities.delete"}
    match write.current_document:
        case condition if "exists" in condition:
            return {"datastore.entities.update" if condition.exists else "datastore.entities.create"}
        case condition if "update_time" in condition:
            return {"datastore.entities.update"}
    return {"datastore.entities.create", "datastore.entities.update"}


class _Interceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        self._calls.over_grpc(details.method, request)
        return proceed(details, request)

    def intercept_unary_stream(self, proceed: Any, details: Any, request: Any) -> Any:
        return self.intercept_unary_unary(proceed, details, request)


@contextlib.contextmanager
def recorded() -> Iterator[Calls]:
    """All calls of this process until the block ends."""
    calls = Calls()
    channel, urlopen = grpc.insecure_channel, urllib3.connectionpool.HTTPConnectionPool.urlopen

    def recording(pool: Any, method: str, url: str, *arguments: Any, **more: Any) -> Any:
        calls.over_rest(method, url)
        return urlopen(pool, method, url, *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.connectionpool.HTTPConnectionPool, "urlopen", recording)
        interceptor = _Interceptor(calls)
        patch.setattr(
            grpc, "insecure_channel", lambda *of, **more: grpc.intercept_channel(channel(*of, **more), interceptor)
        )
        yield calls
