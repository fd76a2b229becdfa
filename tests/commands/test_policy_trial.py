"""`lading policy test`: the same by the stores and over HTTP, for images and for all tags."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from lading.registry.registry import Registry
from tests.support.management_server import ManagementServer
from tests.support.policies import REPOSITORY, SCANNED, policy, signed_by
from tests.support.registry_pushes import push_image
from tests.support.signatures import RELEASE, sign

Both = Callable[[str], tuple[str, str]]
Run = Callable[..., str]

UNSIGNED: Final = "it is not signed by key0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([policy(**signed_by(RELEASE)), policy("audited", mode="audit", **SCANNED)]))
    return path


def test_a_file_is_tried_on_an_image_and_on_all_tags(registry: Registry, both: Both, run: Run, file: Path) -> None:
    push_image(registry, REPOSITORY, "v1")
    sign(registry, image := push_image(registry, REPOSITORY, "v2"), RELEASE)

    stores, http = both(f"policy test {file} {REPOSITORY} --wide")
    assert stores == http
    assert stores.startswith("1\n")
    assert "1 reference of 2 would be refused" in stores
    assert stores.count("it is not scanned") == 2
    assert stores.count(UNSIGNED) == 1

    signed = both(f"policy test {file} {REPOSITORY}@{image.digest} --json")
    assert signed[0] == signed[1]
    assert signed[0].startswith("0\n")
    rows = [json.loads(line) for line in signed[0].splitlines() if line.startswith("{")]
    assert [(row["policy"], row["outcome"]) for row in rows] == [("audited", "audited"), ("prod", "allowed")]


def test_a_file_that_names_another_repository_decides_nothing(registry: Registry, both: Both, file: Path) -> None:
    push_image(registry, "team/app", "v1")
    stores, http = both(f"policy test {file} team/app:v1")
    assert stores == http
    assert "no policy names the repository" in stores


def test_who_may_not_push_tries_no_policies(registry: Registry, remote: ManagementServer, run: Run, file: Path) -> None:
    push_image(registry, REPOSITORY, "v1")
    remote.log_in("reader")
    assert 'Permission "push" denied' in run(f"policy test {file} {REPOSITORY}:v1", status=1)


def test_a_request_is_checked(registry: Registry, remote: ManagementServer, run: Run, tmp_path: Path) -> None:
    push_image(registry, REPOSITORY, "v1")
    (tmp_path / "p.json").write_text("[]")
    assert "0 references of 1 would be refused" in run(f"policy test {tmp_path}/p.json {REPOSITORY}:v1")
    assert "absent" in run(f"policy test {tmp_path}/p.json {REPOSITORY}:absent", status=1)
