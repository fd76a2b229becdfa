"""containerd, with a daemon of its own; its resolver is that of nerdctl, Kubernetes and docker's containerd store."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.container_daemons import Ctr, bring_in, forget
from tests.support.oci_layouts import Layout, read_blobs, write_image
from tests.support.server_process import Server


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Layout]:
    """An image with a layer of 40 MiB, more than Google's front end lets through over HTTP/1."""
    folder = tmp_path / "large"
    yield write_image(folder, [b"small", os.urandom(40 << 20), b""])
    shutil.rmtree(folder)


def test_images_go_in_and_out(ctr: Ctr, content: Path, server: Server, large: Layout) -> None:
    repository = f"{server.host}/team/app"
    bring_in(ctr, large, repository)

    ctr("images", "push", "--plain-http", f"{repository}:v1")
    forget(ctr, f"{repository}:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{repository}:v1")

    assert read_blobs(content) == {**large.blobs, large.digest: large.manifest}
    log = server.log.read_text()
    assert log.count(" PUT /v2/team/app/blobs/uploads/") == len(large.blobs), "each blob is one PUT"
    assert " PATCH " not in log


def test_blobs_are_mounted_from_where_the_image_came(ctr: Ctr, content: Path, server: Server, layout: Layout) -> None:
    one, two = f"{server.host}/one/app", f"{server.host}/two/app"
    bring_in(ctr, layout, one)
    ctr("images", "push", "--plain-http", f"{one}:v1")
    forget(ctr, f"{one}:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{one}:v1")

    ctr("images", "tag", f"{one}:v1", f"{two}:v1")
    ctr("images", "push", "--plain-http", f"{two}:v1")

    log = server.log.read_text()
    assert log.count(" POST /v2/two/app/blobs/uploads/ 201 ") == len(layout.blobs)
    assert " PUT /v2/two/app/blobs/" not in log
    forget(ctr, f"{one}:v1", f"{two}:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{two}@{layout.digest}")
    assert read_blobs(content) == {**layout.blobs, layout.digest: layout.manifest}
