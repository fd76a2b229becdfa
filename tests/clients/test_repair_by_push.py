"""What lost its bytes is whole again when a client pushes the same again under the same tag, whatever it asks for."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from lading.registry.registry import Registry
from lading_storage.protocols import MAX_CONTENT_SIZE
from lading_storage.records.core import Blob, Key
from lading_storage.stores import Stores
from tests.faults import NIGHTLY
from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Ctr, Docker, bring_in, files_of, forget, make_image
from tests.support.object_damage import damage, scrub
from tests.support.oci_layouts import Layout, read_blobs, write_image, write_index
from tests.support.requirements import find_program
from tests.support.server_process import Server

Copy = Callable[[str, str], None]


def _crane(commands: ProgramRunner, layout: Layout) -> Iterator[Copy]:
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    index = ["--index"] if "manifests" in json.loads(layout.manifest) else []
    yield lambda folder, remote: _run(commands, crane, "push", *index, folder, remote)
    yield lambda folder, remote: _run(commands, crane, "pull", "--format", "oci", remote, folder)


def _skopeo(commands: ProgramRunner, layout: Layout) -> Iterator[Copy]:
    copy = [find_program("skopeo", "apt install skopeo"), "--insecure-policy", "copy", "--all", "--preserve-digests"]
    yield lambda folder, remote: _run(
        commands, *copy, "--dest-tls-verify=false", f"oci:{folder}:v1", f"docker://{remote}"
    )
    yield lambda folder, remote: _run(
        commands, *copy, "--src-tls-verify=false", f"docker://{remote}", f"oci:{folder}:v1"
    )


def _oras(commands: ProgramRunner, layout: Layout) -> Iterator[Copy]:
    copy = [find_program("oras", "go install oras.land/oras/cmd/oras@latest"), "cp"]
    yield lambda folder, remote: _run(commands, *copy, "--from-oci-layout", "--to-plain-http", f"{folder}:v1", remote)
    yield lambda folder, remote: _run(commands, *copy, "--from-plain-http", "--to-oci-layout", remote, f"{folder}:v1")


def _regctl(commands: ProgramRunner, layout: Layout) -> Iterator[Copy]:
    regctl = find_program("regctl", "go install github.com/regclient/regclient/cmd/regctl@latest")

    def copy(remote: str, source: str, target: str) -> None:
        commands.run(regctl, "registry", "set", "--tls", "disabled", remote.partition("/")[0])
        commands.run(regctl, "image", "copy", source, target)

    yield lambda folder, remote: copy(remote, f"ocidir://{folder}:v1", remote)
    yield lambda folder, remote: copy(remote, remote, f"ocidir://{folder}:v1")


def _run(commands: ProgramRunner, *words: str) -> None:
    commands.run(*words)


CLIENTS = {"crane": _crane, "skopeo": _skopeo, "oras": _oras, "regctl": _regctl}


def _image(folder: Path, **fields: object) -> Layout:
    return write_image(folder, [b"small" * 100, secrets.token_bytes(2_000_001)], **fields)


def _index(folder: Path) -> Layout:
    return write_index(folder / "index", [_image(folder / name) for name in ("amd64", "arm64")])


SHAPES: dict[str, Callable[[Path], Layout]] = {
    "image": _image,
    "large manifest": lambda folder: _image(folder, annotations={"filler": "x" * MAX_CONTENT_SIZE}),
    "index": _index,
}


DAMAGES: Final = ("missing", "cut", "flipped")


def _damages(client: str, number: int) -> tuple[str, ...]:
    """The damages of a client's content with a number: one, so that each client and each content meets all, or all."""
    return DAMAGES if NIGHTLY else (DAMAGES[([*CLIENTS].index(client) + number) % len(DAMAGES)],)


def _layers_and_configs(layout: Layout) -> Iterator[str]:
    """The digests of a layer and the config of each image, and of a manifest that is kept as an object."""
    for content in (layout.manifest, *layout.blobs.values()):
        if content.startswith(b'{"schemaVersion"') and "config" in (image := json.loads(content)):
            yield from (image["layers"][1]["digest"], image["config"]["digest"])
    if len(layout.manifest) > MAX_CONTENT_SIZE:
        yield layout.digest


def _lose(stores: Stores, digest: str, how: str) -> None:
    """Lose the bytes of a blob, and let scrub find that."""
    blob = stores.metadata.read([Key(Blob, digest)])[Key(Blob, digest)]
    assert blob is not None
    damage(stores.blobs, blob.object, b"".join(stores.blobs.open(blob.object, 0, blob.size)), how)
    assert len(scrub(Registry(stores.blobs, stores.metadata))) == 1


@pytest.mark.parametrize("names", [(client, shape) for client in CLIENTS for shape in SHAPES], ids=" ".join)
def test_the_same_push_again_puts_back_what_was_lost(
    commands: ProgramRunner, server: Server, stores: Stores, tmp_path: Path, names: tuple[str, str]
) -> None:
    client, shape = names
    layout, remote = SHAPES[shape](tmp_path / "layout"), f"{server.host}/team/app:v1"
    push, pull = CLIENTS[client](commands, layout)
    push(str(layout.folder), remote)
    for number, digest in enumerate(_layers_and_configs(layout)):
        for how in _damages(client, number):
            _lose(stores, digest, how)

            push(str(layout.folder), remote)

            assert scrub(Registry(stores.blobs, stores.metadata)) == []
            out = tmp_path / f"out-{number}-{how}"
            pull(str(out), remote)
            pulled = read_blobs(out)
            expected = {**layout.blobs, layout.digest: layout.manifest}
            assert {each: pulled.get(each) for each in expected} == expected


@pytest.mark.parametrize("environment", ["local"], indirect=True)
def test_docker_puts_back_what_was_lost(docker: Docker, server: Server, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    name = f"{server.host}/team/app:v1"
    image = make_image(docker, tmp_path / "context", name)
    before = files_of(docker, name, tmp_path / "before")
    docker("push", name)
    manifest = json.loads(server.request("GET", "/v2/team/app/manifests/v1")[1])
    lost = {
        manifest["config"]["digest"]: "missing",
        manifest["layers"][0]["digest"]: "missing",
        manifest["layers"][1]["digest"]: "cut",
        manifest["layers"][3]["digest"]: "flipped",
    }
    for digest, how in lost.items():
        _lose(stores, digest, how)

        docker("push", name)

        assert scrub(Registry(stores.blobs, stores.metadata)) == [], how
    docker("rmi", "-f", name, f"{name}-base", image)
    docker("pull", name)
    assert files_of(docker, name, tmp_path / "after") == before


@pytest.mark.parametrize("environment", ["local"], indirect=True)
def test_containerd_puts_back_what_was_lost(
    ctr: Ctr, content: Path, server: Server, stores: Stores, tmp_path: Path
) -> None:
    layout, repository = _image(tmp_path / "layout"), f"{server.host}/team/app"
    bring_in(ctr, layout, repository)
    ctr("images", "push", "--plain-http", f"{repository}:v1")
    for digest, how in zip(_layers_and_configs(layout), ("cut", "missing"), strict=True):
        _lose(stores, digest, how)

        ctr("images", "push", "--plain-http", f"{repository}:v1")

        assert scrub(Registry(stores.blobs, stores.metadata)) == [], how
    forget(ctr, f"{repository}:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{repository}:v1")
    assert read_blobs(content) == {**layout.blobs, layout.digest: layout.manifest}
