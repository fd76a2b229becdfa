"""What clients do, a row each: what must be there before, and what is done, which can be done again.

An operation of several requests ends at the first that fails, as a client's does.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE
from tests.faults.failing_registry import ScenarioRepository, image, run_as_request
from tests.support import images
from tests.support.app_client import Response

UPLOADS: Final = "blobs/uploads/"
PART: Final = 3000


@dataclass(frozen=True)
class Operation:
    """One row.

    prepare  what is done before, while nothing fails
    act      what fails
    gone     whether 404 is as good as success for a client that retries
    reads    whether it changes nothing
    """

    name: str
    prepare: Callable[[ScenarioRepository], object]
    act: Callable[[ScenarioRepository], Response]
    deletes: bool = False
    reads: bool = False


def no_setup(_: ScenarioRepository) -> None:
    """Nothing need be there."""


def absolute(world: ScenarioRepository, answer: Response) -> str:
    """The path in the repository that an answer leads to."""
    return answer.headers["Location"].rpartition(f"/v2/{world.name}/")[2]


def new_blob(world: ScenarioRepository) -> None:
    """A blob that was not pushed yet."""
    world.blobs["new"] = images.blob(3 * PART)


def push_as_docker(world: ScenarioRepository) -> Response:
    """POST, one PATCH without a length, PUT."""
    return send(world, world.request("POST", UPLOADS))


def send(world: ScenarioRepository, begun: Response) -> Response:
    """PATCH and PUT into a session that has just begun; what did not begin one is the answer."""
    if begun.status != 202:
        return begun
    path, content = absolute(world, begun), world.blobs["new"]
    sent = world.request("PATCH", path, content, chunked=True)
    return sent if sent.status != 202 else world.request("PUT", f"{path}?digest={digest_of(content)}")


def push_as_containerd(world: ScenarioRepository) -> Response:
    """POST, then PUT of the whole."""
    begun = world.request("POST", UPLOADS)
    if begun.status != 202:
        return begun
    content = world.blobs["new"]
    return world.request("PUT", f"{absolute(world, begun)}?digest={digest_of(content)}", content)


def push_monolithic(world: ScenarioRepository) -> Response:
    """One POST."""
    content = world.blobs["new"]
    return world.request("POST", f"{UPLOADS}?digest={digest_of(content)}", content)


def begin(world: ScenarioRepository) -> None:
    """A session with nothing in it."""
    new_blob(world)
    world.session = absolute(world, world.request("POST", UPLOADS))


def begin_with_all(world: ScenarioRepository) -> None:
    """A session with all bytes in one part."""
    begin(world)
    assert world.request("PATCH", world.session, world.blobs["new"]).status == 202


def begin_with_parts(world: ScenarioRepository) -> None:
    """A session with all bytes in three parts."""
    begin(world)
    for start in range(0, 3 * PART, PART):
        sent = world.request("PATCH", world.session, world.blobs["new"][start : start + PART])
        assert sent.status == 202
        world.session = absolute(world, sent)


def send_chunks(world: ScenarioRepository) -> Response:
    """PATCHes that say where they belong, from where the session ends; then PUT. What regctl does, and does again."""
    content = world.blobs["new"]
    while True:
        told = world.request("GET", world.session)
        if told.status == 404:
            # Published, perhaps: the PUT tells.
            break
        if told.status != 204:
            return told
        start = int(told.headers["Range"].partition("-")[2]) + 1
        start = 0 if start == 1 else start
        if start == len(content):
            break
        headers = {"Content-Range": f"{start}-{start + PART - 1}"}
        sent = world.request("PATCH", world.session, content[start : start + PART], headers=headers)
        if sent.status != 202:
            return sent
    return finish(world)


def finish(world: ScenarioRepository) -> Response:
    """PUT, with nothing more to send."""
    return world.request("PUT", f"{world.session}?digest={world.digest('new')}")


def cancel(world: ScenarioRepository) -> Response:
    return world.request("DELETE", world.session)


def elsewhere(world: ScenarioRepository) -> None:
    """A blob in another repository."""
    new_blob(world)
    world.client.push_blob(f"{world.name}-source", world.blobs["new"])


def mount(world: ScenarioRepository) -> Response:
    """… and push it where that is not mounted, as clients do."""
    return send(world, world.request("POST", f"{UPLOADS}?mount={world.digest('new')}&from={world.name}-source"))


def mount_from_anywhere(world: ScenarioRepository) -> Response:
    return send(world, world.request("POST", f"{UPLOADS}?mount={world.digest('new')}"))


def one(world: ScenarioRepository) -> None:
    """An image, tagged `v1`."""
    image(world, "one", "v1")


def two(world: ScenarioRepository) -> None:
    """… and another one that is not tagged."""
    one(world)
    image(world, "two")


def moved(world: ScenarioRepository) -> None:
    """… to which the tag has moved."""
    two(world)
    assert world.put("two", "v1").status == 201


def signed(world: ScenarioRepository) -> None:
    """An image with two tags and a referrer."""
    one(world)
    assert world.put("one", "v2").status == 201
    subject = images.descriptor(world.manifests["one"], "application/vnd.oci.image.manifest.v1+json")
    image(world, "signature", subject=subject)


def indexed(world: ScenarioRepository) -> None:
    """Two images, and an index of them that is not pushed yet."""
    two(world)
    world.manifests["index"] = images.index([world.manifests["one"], world.manifests["two"]])


def deleted(world: ScenarioRepository) -> None:
    """An image that was deleted with its tags and its referrer."""
    signed(world)
    assert delete_manifest(world).status == 202


def deleted_tag(world: ScenarioRepository) -> None:
    """… of which a tag was deleted before."""
    signed(world)
    assert world.request("DELETE", "manifests/v1").status == 202
    assert delete_manifest(world).status == 202


def deleted_index(world: ScenarioRepository) -> None:
    """An index that was deleted, and then its images."""
    indexed(world)
    assert world.put("index", "v2").status == 201
    for role in ("index", "one", "two"):
        assert world.request("DELETE", f"manifests/{world.digest(role)}").status == 202


def deleted_repository(world: ScenarioRepository) -> None:
    """Two images, each with a tag, deleted with their repository: that which is restored first was pushed first."""
    one(world)
    world.push_blob("two layer", images.blob())
    layers, config = [world.blobs["two layer"]], world.blobs["config"]
    made = (images.manifest(layers, config, annotations={"n": str(number)}) for number in itertools.count())
    world.push_manifest("two", next(each for each in made if digest_of(each) > world.digest("one")), "v2")
    assert delete_repository(world).status == 200


def large(world: ScenarioRepository) -> None:
    """A manifest that is not pushed yet, too large for a record."""
    world.push_blob("config", images.blob())
    fields = {"annotations": {"filler": "x" * MAX_CONTENT_SIZE}}
    world.manifests["large"] = images.manifest([], world.blobs["config"], **fields)


def large_one(world: ScenarioRepository) -> None:
    """… and pushed."""
    large(world)
    assert world.put("large", "v1").status == 201


def unreferenced_blob(world: ScenarioRepository) -> None:
    """A blob that no manifest names."""
    world.push_blob("new", images.blob())


def delete_manifest(world: ScenarioRepository) -> Response:
    return world.request("DELETE", f"manifests/{world.digest('one')}")


def undelete(world: ScenarioRepository, role: str = "one") -> Response:
    return run_as_request(lambda: world.backends.registry.undelete.manifest(world.name, world.digest(role)))


def undelete_tag(world: ScenarioRepository) -> Response:
    return run_as_request(lambda: world.backends.registry.undelete.tag(world.name, "v1"))


def undelete_repository(world: ScenarioRepository) -> Response:
    return run_as_request(lambda: world.backends.registry.undelete.repository(world.name))


def roll_back(world: ScenarioRepository) -> Response:
    return run_as_request(lambda: world.backends.registry.rollback.to_digest(world.name, "v1", world.digest("one")))


def delete_repository(world: ScenarioRepository) -> Response:
    return run_as_request(lambda: world.backends.registry.deletion.repository(world.name))


OPERATIONS: Final = [
    Operation("push a blob as docker does", new_blob, push_as_docker),
    Operation("push a blob as containerd does", new_blob, push_as_containerd),
    Operation("push a blob at once", new_blob, push_monolithic),
    Operation("push a blob that is there elsewhere", elsewhere, push_monolithic),
    Operation("push a blob in chunks", begin, send_chunks),
    Operation("finish an upload", begin_with_all, finish),
    Operation("finish an upload of three parts", begin_with_parts, finish),
    Operation("cancel an upload", begin_with_parts, cancel, deletes=True),
    Operation("mount a blob", elsewhere, mount),
    Operation("mount a blob from anywhere", elsewhere, mount_from_anywhere),
    Operation("put a manifest by digest", two, lambda world: world.put("two")),
    Operation("put a manifest by a new tag", two, lambda world: world.put("two", "v2")),
    Operation("put a manifest with tags", two, lambda world: world.put("two", f"{world.digest('two')}?tag=v2&tag=v3")),
    Operation("put an index", indexed, lambda world: world.put("index", "v2")),
    Operation("put a large manifest", large, lambda world: world.put("large", "v1")),
    Operation("move a tag", two, lambda world: world.put("two", "v1")),
    Operation("roll a tag back", moved, roll_back),
    Operation("delete a tag", one, lambda world: world.request("DELETE", "manifests/v1"), deletes=True),
    Operation("delete a manifest", signed, delete_manifest, deletes=True),
    Operation(
        "delete a blob",
        unreferenced_blob,
        lambda world: world.request("DELETE", f"blobs/{world.digest('new')}"),
        deletes=True,
    ),
    Operation("delete a repository", signed, delete_repository),
    Operation("undelete a manifest", deleted, undelete, deletes=True),
    Operation("undelete a tag", deleted_tag, undelete_tag, deletes=True),
    Operation("undelete an index", deleted_index, lambda world: undelete(world, "index"), deletes=True),
    Operation("undelete a repository", deleted_repository, undelete_repository, deletes=True),
]

READS: Final = [
    Operation("pull a manifest by tag", one, lambda world: world.request("GET", "manifests/v1"), reads=True),
    Operation(
        "pull a manifest by digest",
        one,
        lambda world: world.request("GET", f"manifests/{world.digest('one')}"),
        reads=True,
    ),
    Operation("pull a large manifest", large_one, lambda world: world.request("GET", "manifests/v1"), reads=True),
    Operation("pull a blob", one, lambda world: world.request("GET", f"blobs/{world.digest('config')}"), reads=True),
    Operation("list tags", signed, lambda world: world.request("GET", "tags/list"), reads=True),
    Operation(
        "list referrers", signed, lambda world: world.request("GET", f"referrers/{world.digest('one')}"), reads=True
    ),
    Operation(
        "list moves", signed, lambda world: world.client.request("GET", f"/v2/_lading/{world.name}/history"), reads=True
    ),
]
