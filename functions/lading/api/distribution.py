"""The surface of the distribution API, with its token endpoint."""

from typing import Final

from lading.api import blobs, listings, manifests, token, uploads, version
from lading.api.style import api_surface
from lading.auth.access import Action
from lading.surface.route import Route

DISTRIBUTION: Final = api_surface(
    # The most frequent requests come first.
    Route("end-1", "GET HEAD", "/v2/?", Action.AUTHENTICATE, version.check, is_non_blocking=True),
    Route("end-3", "GET HEAD", "/v2/<name>/manifests/<last>", Action.PULL, manifests.get, is_non_blocking=True),
    Route("end-2", "GET HEAD", "/v2/<name>/blobs/<last>", Action.PULL, blobs.get, is_non_blocking=True),
    Route("token", "GET POST", "/v2/token/?", Action.NONE, token.issue),
    Route("_catalog", "GET HEAD", "/v2/_catalog/?", Action.LIST, listings.repositories),
    Route("end-4a end-4b end-11", "POST", "/v2/<name>/blobs/uploads/?", Action.PUSH, uploads.start),
    Route("end-13", "GET HEAD", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.status),
    Route("end-5", "PATCH", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.append),
    Route("end-6", "PUT", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.finish),
    Route("end-14", "DELETE", "/v2/<name>/blobs/uploads/<last>", Action.PUSH, uploads.cancel),
    Route("end-10", "DELETE", "/v2/<name>/blobs/<last>", Action.DELETE, blobs.delete),
    Route("end-7", "PUT", "/v2/<name>/manifests/<last>", Action.PUSH, manifests.put),
    Route("end-9", "DELETE", "/v2/<name>/manifests/<last>", Action.DELETE, manifests.delete),
    Route("end-8a end-8b", "GET HEAD", "/v2/<name>/tags/list/?", Action.PULL, listings.tags),
    Route("end-12a end-12b", "GET HEAD", "/v2/<name>/referrers/<last>", Action.PULL, listings.referrers),
)
