"""Surfaces: the app finds them by their prefix, and each responds to errors in its own style."""

import json

import pytest
from werkzeug.wrappers import Request

from lading import settings
from lading.app import App
from lading.auth.access import Action
from lading.auth.authenticator import OpenAuthenticator
from lading.http.request_checks import RequestChecks
from lading.http.responses import Response
from lading.registry.errors import NAME_UNKNOWN, UNAUTHORIZED, RegistryError
from lading.registry.registry import Registry
from lading.routes import MOUNTS, Mount, all_routes, surface_of
from lading.surface.request_context import RequestContext
from lading.surface.route import Route
from lading.surface.surface import Surface
from lading_storage.stores import Stores
from tests.support.app_client import Client


def greet(context: RequestContext) -> Response:
    return Response(200, content=context.name.encode())


def fail(context: RequestContext) -> Response:
    raise RegistryError(NAME_UNKNOWN)


def require_login(context: RequestContext) -> Response:
    raise RegistryError(UNAUTHORIZED)


def as_page(error: RegistryError, request: Request) -> Response:
    return Response(error.descriptor.status, {"Content-Type": "text/html"}, f"<p>{request.path}</p>".encode())


def refuse_posts(checks: RequestChecks, environ: dict[str, str]) -> None:
    if environ["REQUEST_METHOD"] == "POST":
        raise RegistryError(NAME_UNKNOWN)


PAGES = Surface(
    [
        Route("greet", "GET POST", "/pages/<name>/greeting", Action.PULL, greet),
        Route("fail", "GET", "/pages/failure", Action.NONE, fail),
        Route("login", "GET", "/pages/login", Action.NONE, require_login),
    ],
    as_page,
    lambda authenticator, match, request, error: {"Location": f"/login?next={request.path}"},
    refuse_posts,
    {"Content-Security-Policy": "default-src 'none'"},
)


@pytest.fixture
def pages(stores: Stores) -> Client:
    app = App(Registry(stores.blobs, stores.metadata), settings.load_settings({}), OpenAuthenticator())
    app.surface_of = lambda path: PAGES
    return Client(app)


def test_a_surface_has_routes_and_headers_of_its_own(pages: Client) -> None:
    response = pages.request("GET", "/pages/team/app/greeting")

    assert (response.status, response.body) == (200, b"team/app")
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "Docker-Distribution-API-Version" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/pages/failure", 404),
        ("GET", "/pages/absent", 404),
        ("PUT", "/pages/failure", 405),
        ("POST", "/pages/a/greeting", 404),
        ("GET", "/pages/A/greeting", 400),
        ("GET", "/pages/login", 401),
    ],
)
def test_a_surface_renders_each_error(pages: Client, method: str, path: str, status: int) -> None:
    response = pages.request(method, path)

    assert (response.status, response.body.decode()) == (status, f"<p>{path}</p>")


def test_a_surface_renders_a_defect_and_a_failing_store(pages: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.dispatcher.check_repository", lambda name: 1 / 0)

    response = pages.request("GET", "/pages/a/greeting")

    assert (response.status, response.body) == (500, b"<p>/pages/a/greeting</p>")


def test_a_surface_says_how_to_authenticate(pages: Client) -> None:
    assert pages.request("GET", "/pages/login").headers["Location"] == "/login?next=/pages/login"


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/v2", "/v2"),
        ("/v2/", "/v2"),
        ("/v2/a/manifests/v1", "/v2"),
        ("/v2/_lading", "/v2/_lading"),
        ("/v2/_lading/a/history", "/v2/_lading"),
        ("/v2/_ladings/a/history", "/v2"),
        ("/v2/a/_lading/version", "/v2"),
        ("/v2x", ""),
        ("/", ""),
        ("", ""),
        ("*", ""),
        ("/healthz", ""),
    ],
)
def test_the_longest_prefix_counts(path: str, prefix: str) -> None:
    assert surface_of(path) is next(mount.surface() for mount in MOUNTS if mount.prefix == prefix)


def test_each_prefix_comes_before_those_that_it_begins_with() -> None:
    prefixes = [mount.prefix for mount in MOUNTS]

    assert prefixes == sorted(prefixes, key=lambda prefix: -prefix.count("/"))
    assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize("mount", MOUNTS, ids=[mount.prefix for mount in MOUNTS])
def test_each_route_is_below_the_prefix_of_its_surface(mount: Mount) -> None:
    assert [row.spec for row in mount.surface().routes if not row.path.startswith(mount.prefix)] == []


def test_an_unknown_path_of_the_management_api_is_no_repository(client: Client) -> None:
    response = client.request("GET", "/v2/_lading/a/manifests/v1")

    assert response.status == 404
    assert json.loads(response.body)["errors"][0]["code"] == "UNSUPPORTED"


def test_the_methods_of_the_server_are_those_of_all_surfaces(client: Client) -> None:
    methods = {method for row in all_routes() for method in row.method_set}

    assert client.request("OPTIONS", "*").headers["Allow"] == ", ".join(sorted(methods))
