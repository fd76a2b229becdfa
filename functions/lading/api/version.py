"""The API version check, and the version of the registry."""

from lading.auth.authenticator import OpenAuthenticator
from lading.http.responses import Response, json_response
from lading.registry.errors import UNAUTHORIZED, RegistryError
from lading.surface.request_context import RequestContext
from lading.version import source_version


def check(context: RequestContext) -> Response:
    """end-1: confirm that this is a registry, and that the caller is authenticated."""
    return json_response({})


def version(context: RequestContext) -> Response:
    """version: return the version of the sources, but not to anonymous callers: it reveals known vulnerabilities."""
    if not context.caller.principal and not isinstance(context.authenticator, OpenAuthenticator):
        raise RegistryError(UNAUTHORIZED)
    return json_response({"version": source_version()})
