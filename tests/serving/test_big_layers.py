"""A layer of any size goes in, as Cloud Run hands it over, and the process stays small."""

from pathlib import Path

import pytest

from tests.faults import NIGHTLY
from tests.serving.discarding_storage import discarding_storage
from tests.support.function_commands import AS_BUILT, IN_CLOUD_RUN
from tests.support.large_bodies import digest_of_zeros, send
from tests.support.server_process import serving, user_environment

MIB = 1024 * 1024
LIMIT = 100 * MIB


SIZE = (2048 if NIGHTLY else 512) * MIB


@pytest.mark.parametrize(("protocol", "size"), [("--http1.1", 512 * MIB), ("--http2-prior-knowledge", SIZE)])
def test_a_layer_of_any_size_goes_in_and_is_never_in_memory(protocol: str, size: int, tmp_path: Path) -> None:
    """As docker sends it: one PATCH of unknown length, and a PUT with its digest."""
    variables, authorization = user_environment(tmp_path / "access")
    with discarding_storage() as storage:
        stores = {
            "STORAGE_EMULATOR_HOST": storage,
            "LADING_BLOBS": "gs://sink",
            "LADING_METADATA": f"sqlite://{tmp_path}/metadata.sqlite",
        }
        environment = {**stores, **variables, **IN_CLOUD_RUN}
        with serving(environment, tmp_path / "log", command=AS_BUILT) as server:
            server.authorization = authorization
            response, _ = server.request("POST", "/v2/team/app/blobs/uploads/")
            path = response.headers["Location"].removeprefix(f"http://{server.host}")

            assert send(server, protocol, path, size) == "202"

            digest = digest_of_zeros(size)
            response, answer = server.request("PUT", f"{path}?digest={digest}")
            assert response.status == 201, answer
            response, _ = server.request("HEAD", f"/v2/team/app/blobs/{digest}")
            assert response.headers["Content-Length"] == str(size)
            assert server.peak_memory() < LIMIT
