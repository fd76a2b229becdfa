"""The number of series has a limit, whatever clients send."""

import random
import string
from pathlib import Path

import pytest

from lading import routes, settings
from lading.composition import create
from lading.metrics.metered_app import MAX_NAMESPACES, METHODS, OTHER
from lading.metrics.metrics import Metrics
from tests.metrics.metered_server import parse, total
from tests.support import images
from tests.support.app_client import HOST, Client

REQUESTS = 10_000
MAX_SERIES = 500
WORDS = ["v2", "blobs", "uploads", "manifests", "tags", "list", "referrers", "_catalog", "token", "_lading", "healthz"]


class MeteredClient(Client):
    """A client of an app with metrics."""

    def __init__(self, folder: Path, access: str) -> None:
        read = settings.load_settings(
            {"LADING_DATA": str(folder), "LADING_ACCESS": access, "LADING_URL": f"http://{HOST}"}
        )
        self.metrics = Metrics(read)
        super().__init__(create(read, self.metrics))


def random_word(choose: random.Random) -> str:
    if choose.random() < 0.5:
        return choose.choice(WORDS)
    return "".join(choose.choices(string.ascii_lowercase + string.digits + ":%._-", k=choose.randint(1, 30)))


def random_path(choose: random.Random) -> str:
    """A path that begins as those of the registry do in half of the cases, and ends as one of its routes in a third."""
    words = [random_word(choose) for _ in range(choose.randint(0, 6))]
    prefix = choose.choice(["/", "/v2/"])
    end = choose.choice(["", "", f"/manifests/{random_word(choose)}", f"/blobs/{random_word(choose)}", "/tags/list"])
    return f"{prefix}{'/'.join(words)}{end}".replace("%", "%25")


def random_method(choose: random.Random) -> str:
    if choose.random() < 0.7:
        return choose.choice(sorted(METHODS))
    return "".join(choose.choices(string.ascii_uppercase, k=choose.randint(1, 12)))


def random_headers(choose: random.Random) -> dict[str, str]:
    names = ["Authorization", "User-Agent", "X-Forwarded-For", "X-Request-Id", "Content-Type", f"X-{choose.random()}"]
    return {name: random_word(choose) for name in choose.sample(names, choose.randint(0, 4))}


@pytest.mark.parametrize("access", ["users", "everybody"])
def test_random_requests_make_few_series(access: str, tmp_path: Path) -> None:
    client, choose = MeteredClient(tmp_path, access), random.Random(20)
    for _ in range(REQUESTS):
        client.request(random_method(choose), random_path(choose), headers=random_headers(choose))

    found = parse(client.metrics.exposition().decode())
    assert total(found, "registry_http_requests_total") == REQUESTS
    assert len(found) < MAX_SERIES
    labels = {
        name: {value for each in found for key, value in each.labels if key == name} for name in ("handler", "method")
    }
    assert labels["handler"] <= {route.spec for route in routes.all_routes()} | {"none", "options"}
    assert len(labels["handler"]) > 10, "the requests reach the routes"
    assert labels["method"] == METHODS | {OTHER}
    client.app.registry.close()


def test_namespaces_have_a_limit(tmp_path: Path) -> None:
    client = MeteredClient(tmp_path, "everybody")
    for number in range(MAX_NAMESPACES + 5):
        client.push_image(f"team{number}/app", "v1")
        for _ in range(2):
            assert client.request("GET", f"/v2/team{number}/app/manifests/v1").status == 200

    found = parse(client.metrics.exposition().decode())
    pulls = [each for each in found if each.name == "lading_pulls_total"]
    assert len(pulls) == MAX_NAMESPACES + 1
    assert total(found, "lading_pulls_total", namespace="team0") == 2
    assert total(found, "lading_pulls_total", namespace=OTHER) == 10
    client.app.registry.close()


def test_a_namespace_without_a_repository_has_no_series(tmp_path: Path) -> None:
    client = MeteredClient(tmp_path, "everybody")
    for number in range(5):
        assert client.request("GET", f"/v2/guess{number}/app/manifests/v1").status == 404

    found = parse(client.metrics.exposition().decode())
    assert [each for each in found if each.name == "lading_pulls_total"] == []
    client.app.registry.close()


def test_an_abandoned_response_is_counted(tmp_path: Path) -> None:
    client, layer = MeteredClient(tmp_path, "everybody"), images.blob(3_000_000)
    digest = client.push_blob("team/app", layer)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/v2/team/app/blobs/{digest}", "HTTP_HOST": HOST}
    response = client.app(environ | {"wsgi.input": None}, lambda *words: lambda data: None)
    first = next(iter(response))
    in_flight = parse(client.metrics.exposition().decode())
    assert total(in_flight, "registry_http_in_flight_requests", handler="end-2") == 1
    response.close()  # type: ignore[attr-defined]

    client.metrics._made_at = -1_000.0
    found = parse(client.metrics.exposition().decode())
    assert total(found, "registry_http_in_flight_requests") == 0
    assert total(found, "registry_http_response_size_bytes_sum", handler="end-2") == len(first)
    client.app.registry.close()
