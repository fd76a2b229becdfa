"""`lading ls`, `lading show` and `lading tag`, on both pairs of stores."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lading import cli
from lading.commands.options import CommandError, reference
from lading.registry.change_context import ChangeContext
from lading.registry.content.manifests import Put
from lading.registry.names import MIN_PREFIX
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE
from lading_storage.stores import Stores
from tests.commands.tables import json_rows, table
from tests.support import images
from tests.support.indexes import CONFIG, push_index
from tests.support.object_damage import damage, scrub
from tests.support.registry_pushes import push_blob, push_image, push_manifest

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `lading WORDS…` on the stores; returns what it prints, or its error where that is expected."""

    def run(*words: str, status: int = 0) -> str:
        assert cli.main(words) == status
        done = capsys.readouterr()
        return done.err if status else done.out

    return run


def shown(run: Run, *words: str) -> Any:
    (row,) = json_rows(run("show", "--json", *words))
    return row


def test_repositories_are_listed_by_pages(registry: Registry, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c/d", "e"):
        push_image(registry, name, "v1")
    registry.deletion.repository("b")

    assert [row["REPOSITORY"] for row in table(run("ls"))] == ["a", "c/d", "e"]
    assert cli.main(["ls", "--json", "--limit", "2"]) == 0
    done = capsys.readouterr()
    assert [row["name"] for row in json_rows(done.out)] == ["a", "c/d"]
    assert done.err == "more: lading ls --json --limit 2 --after c/d\n"
    assert cli.main(["ls", "--after", "a", "--limit", "1", "--after=a"]) == 0
    assert capsys.readouterr().err == "more: lading ls --limit 1 --after c/d\n"
    assert [row["name"] for row in json_rows(run("ls", "--json", "--after", "c/d"))] == ["e"]
    assert len(json_rows(run("ls", "--json", "--limit", "0"))) == 3


def test_tags_have_digest_size_and_last_pull(registry: Registry, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    image = push_image(registry, "team/app", "v1", layers=2)
    index, children, layers = push_index(registry, "team/app", "v2", "v3")
    registry.last_pulls.record_pull("team/app", index)

    first, second, third = json_rows(run("ls", "team/app", "--json"))

    assert (first["tag"], first["digest"], first["last_pull"]) == ("v1", image.digest, None)
    assert first["size"] == image.size + len(images.EMPTY_CONFIG) + 200
    assert second["size"] == third["size"] == sum(map(len, [*children, *layers, CONFIG])) + size_of(registry, index)
    assert second["last_pull"].startswith(f"{datetime.now(UTC):%Y-}")
    row = table(run("ls", "team/app"))[0]
    assert (row["TAG"], row["DIGEST"], row["LAST PULL"]) == ("v1", image.digest[:19], "-")
    assert cli.main(["ls", "team/app", "--limit", "1"]) == 0
    assert capsys.readouterr().err == "more: lading ls team/app --limit 1 --after v1\n"
    assert "team/absent" in run("ls", "team/absent", status=1)
    assert "use `lading show team/app:v1`" in run("ls", "team/app:v1", status=1)
    registry.tags.delete("team/app", "v1")
    for tag in ("v2", "v3"):
        registry.tags.delete("team/app", tag)
    assert run("ls", "team/app") == "", "a repository without tags"


def size_of(registry: Registry, digest: str) -> int:
    return registry.manifests.find("team/app", digest).size


def test_an_index_is_shown_with_its_platforms(registry: Registry, run: Run) -> None:
    digest, children, layers = push_index(registry, "team/app", "v1", "latest")

    details = shown(run, "team/app:v1")

    assert (details["tag"], details["digest"], details["tags"]) == ("v1", digest, ["latest", "v1"])
    assert [(each["platform"], each["digest"]) for each in details["platforms"]] == [
        ("linux/amd64", digest_of(children[0])),
        ("linux/arm64/v8", digest_of(children[1])),
    ]
    assert [each["size"] for each in details["platforms"]] == [
        len(children[0]) + len(CONFIG) + 1000,
        len(children[1]) + len(CONFIG) + 1500,
    ]
    assert (details["layers"], details["config"]) == ([], None)
    arm = shown(run, "team/app:v1", "--platform", "linux/arm64")
    assert (arm["digest"], arm["tag"]) == (digest_of(children[1]), "")
    assert [(layer["digest"], layer["size"]) for layer in arm["layers"]] == [
        (digest_of(layer), len(layer)) for layer in layers
    ]
    refused = run("show", "team/app:v1", "--platform", "windows/amd64", status=1)
    assert "its platforms: linux/amd64, linux/arm64/v8" in refused


def test_an_image_is_shown_with_its_configuration(registry: Registry, run: Run) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    image = digest_of(children[0])

    config = shown(run, f"team/app@{image}")["config"]

    assert {name: config[name] for name in ("platform", "user", "working_dir", "created")} == {
        "platform": "linux/arm64/v8",
        "user": "app",
        "working_dir": "/srv",
        "created": "2026-11-01T12:00:00Z",
    }
    assert (config["entrypoint"], config["command"]) == (["/bin/app"], ["--port", "8080"])
    assert (config["environment"], config["ports"]) == (["A=b"], ["8080/tcp"])
    assert config["labels"] == {"note": "red\x1b[31m"}
    printed = run("show", f"team/app@{image}")
    assert "\x1b" not in printed
    assert r"red\x1b[31m" in printed
    assert "linux/arm64/v8" in printed
    assert "\nLAYER " in printed


def test_who_pushed_what_refers_to_it_and_the_last_pull_are_shown(registry: Registry, run: Run) -> None:
    content = push_image(registry, "team/app").content or b""
    registry.manifests.put("team/app", Put(content, "", "", ("v1",)), ChangeContext("push", "alice@example.com"))
    digest = digest_of(content)
    registry.last_pulls.record_pull("team/app", digest)
    subject = {"mediaType": json.loads(content)["mediaType"], "digest": digest, "size": 1}
    sbom = push_manifest(
        registry, "team/app", images.manifest([], subject=subject, artifactType="application/spdx+json")
    )
    signed = images.blob()
    push_blob(registry, "team/app", signed)
    cosign = images.signature(signed, "application/vnd.dev.cosign.simplesigning.v1+json")
    tag = digest.replace(":", "-") + ".sig"
    registry.manifests.put("team/app", Put(cosign, "", "", (tag,)))

    details = shown(run, f"team/app@{digest}")

    assert (details["pushed_by"], details["pushed_action"]) == ("alice@example.com", "push")
    assert details["pushed"] is not None
    assert details["last_pull"] is not None
    assert [(each["digest"], each["artifact_type"], each["tag"]) for each in details["referrers"]] == [
        (sbom.digest, "application/spdx+json", ""),
        (digest_of(cosign), images.CONFIG_TYPE, tag),
    ]
    assert shown(run, f"team/app@{sbom.digest}")["subject"] == digest
    printed = run("show", "team/app:v1")
    assert "alice@example.com" in printed
    assert "application/spdx+json" in printed


def test_what_cannot_be_shown_is_an_error(registry: Registry, run: Run) -> None:
    push_image(registry, "team/app", "v1")

    assert "lading ls team/app" in run("show", "team/app", status=1)
    assert "v9" in run("show", "team/app:v9", status=1)
    assert "v1" in run("show", "team/absent:v1", status=1)


def test_a_manifest_whose_parts_are_lost_is_shown(registry: Registry, stores: Stores, run: Run) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    link = registry.blobs.get("team/app", digest_of(CONFIG))
    stores.blobs.delete(link.object)

    details = shown(run, f"team/app@{digest_of(children[0])}")

    assert details["config"]["digest"] == digest_of(CONFIG)
    assert (details["config"]["platform"], details["config"]["labels"]) == ("", {})
    assert details["config"]["damaged"]
    assert f"{digest_of(CONFIG)[:19]} (damaged)" in run("show", f"team/app@{digest_of(children[0])}")


@pytest.mark.parametrize("kind", ["missing", "cut", "flipped"])
def test_damage_is_shown(kind: str, registry: Registry, stores: Stores, run: Run) -> None:
    large = images.manifest([], annotations={"note": "x" * MAX_CONTENT_SIZE})
    push_blob(registry, "team/app", images.EMPTY_CONFIG)
    digest = push_manifest(registry, "team/app", large, "v1").digest
    index = push_manifest(registry, "team/app", images.index([large]), "v2").digest
    layer = images.blob(500)
    push_blob(registry, "team/app", layer)
    image = push_manifest(registry, "team/app", images.manifest([layer]), "v3").digest
    assert not shown(run, "team/app:v1")["damaged"]
    for content in (large, layer):
        damage(stores.blobs, registry.blobs.get("team/app", digest_of(content)).object, content, kind)

    assert shown(run, f"team/app@{digest}")["damaged"]
    assert "its bytes are missing or damaged; push it again" in run("show", "team/app:v1")
    assert [each["damaged"] for each in shown(run, f"team/app@{index}")["platforms"]] == [True]
    assert table(run("ls", "team/app"))[0]["SIZE"] == "(damaged)"
    scrub(registry)
    assert [each["damaged"] for each in shown(run, f"team/app@{image}")["layers"]] == [True]
    assert "(damaged)" in run("show", "team/app:v3")


def test_an_image_alone_is_shown_for_its_own_platform(registry: Registry, run: Run) -> None:
    _, children, _ = push_index(registry, "team/app", "v1")
    image = f"team/app@{digest_of(children[0])}"

    assert shown(run, image, "--platform", "linux/arm64") == shown(run, image)
    assert "is an image for linux/arm64/v8, not linux/arm" in run("show", image, "--platform", "linux/arm", status=1)


def test_digests_can_be_short_where_they_are_of_one_manifest(registry: Registry, run: Run) -> None:
    first, second = push_image(registry, "team/app", "v1"), push_image(registry, "team/app", "v1")
    short = first.digest[:19]

    assert shown(run, f"team/app@{short}")["digest"] == first.digest
    assert run("rollback", "team/app:v1", "--to", short) == f"team/app:v1 names {first.digest}\n"
    assert run("rollback", "team/app:v1", "--to", second.digest[7:19]) == f"team/app:v1 names {second.digest}\n"
    assert run("tag", f"team/app@{short}", "v2") == f"team/app:v2 names {first.digest}\n"
    run("delete", f"team/app@{short}")
    assert "manifest unknown" in run("show", f"team/app@{short}", status=1)
    run("undelete", f"team/app@{short}")
    assert registry.manifests.find("team/app", "v2").digest == first.digest


def test_a_short_digest_of_several_manifests_is_refused_with_all_of_them(registry: Registry, run: Run) -> None:
    push_blob(registry, "team/app", images.EMPTY_CONFIG)
    found: dict[str, str] = {}
    while True:
        content = images.manifest([], annotations={"number": str(len(found))})
        short = digest_of(content)[: len("sha256:") + MIN_PREFIX]
        if short in found:
            break
        found[short] = push_manifest(registry, "team/app", content).digest
    other = push_manifest(registry, "team/app", content).digest

    refused = run("delete", f"team/app@{short}", status=1)

    assert ", ".join(sorted([found[short], other])) in refused
    assert registry.manifests.find("team/app", other).digest == other


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("127.0.0.1:5000/team/app:v1", "begins with a host; write team/app:v1, without 127.0.0.1:5000/"),
        ("team/app@md5:" + "0" * 32, "there are those of sha256 and sha512"),
        ("team/app@sha256:abc", "their first 4 or more"),
        ("team/app@sha256:" + "0" * 65, "64 hexadecimal digits"),
        ("team/app@ABCDEF", "in lower case"),
    ],
)
def test_a_reference_that_cannot_be_one_is_refused_with_the_reason(
    word: str, reason: str, run: Run, registry: Registry
) -> None:
    assert reason in run("show", word, status=1)


def test_the_host_of_the_registry_is_no_part_of_a_name() -> None:
    with pytest.raises(CommandError, match=r"write team/app:v1, without registry\.example\.com/"):
        reference("registry.example.com/team/app:v1", "https://registry.example.com")

    assert reference("mirror.example.com/app", "https://registry.example.com").repository == "mirror.example.com/app"


def test_an_error_of_the_registry_says_what_to_do(run: Run, registry: Registry) -> None:
    push_image(registry, "team/app", "v1")

    assert "`lading ls REPOSITORY` lists tags" in run("show", "team/app:absent", status=1)
    assert "`lading ls` lists the repositories" in run("ls", "team/absent", status=1)


def test_a_limit_is_a_number(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["ls", "--limit", "-1"],
        ["history", "team/app", "--limit", "x"],
        ["rollback", "a:b", "--steps", "-1"],
    ):
        with pytest.raises(SystemExit):
            cli.main(words)
        assert f"a number from 0 is needed, not {words[-1]}" in capsys.readouterr().err


def test_a_tag_is_set_and_is_in_the_history(registry: Registry, run: Run) -> None:
    first, second = push_image(registry, "team/app", "v1"), push_image(registry, "team/app", "v2")

    assert run("tag", "team/app:v1", "prod") == f"team/app:prod names {first.digest}\n"
    assert json_rows(run("tag", "--json", f"team/app@{second.digest}", "prod")) == [
        {"repository": "team/app", "tag": "prod", "digest": second.digest}
    ]
    run("tag", "team/app:v2", "prod")

    events = json_rows(run("history", "--json", "team/app:prod"))
    assert [(event["action"], event["before"], event["digest"]) for event in events] == [
        ("tag", first.digest, second.digest),
        ("tag", "", first.digest),
    ]
    assert events[0]["by"].endswith(" (lading tag)")
    assert run("rollback", "team/app:prod") == f"team/app:prod names {first.digest}\n"


def test_a_tag_that_may_not_be_set_is_refused(registry: Registry, run: Run) -> None:
    image = push_image(registry, "prod/app", "v1", "v2")
    other = push_image(registry, "prod/app", "w1")

    refused = run("tag", "prod/app:w1", "v1", "--immutable", "prod/*:v*", status=1)

    assert "prod/*:v*" in refused
    assert registry.manifests.find("prod/app", "v1").digest == image.digest
    run("tag", "prod/app:v2", "v1", "--immutable", "prod/*:v*")
    run("tag", "prod/app:w1", "v3", "--immutable", "prod/*:v*")
    assert registry.manifests.find("prod/app", "v3").digest == other.digest
    assert "names no manifest" in run("tag", "prod/app", "x", status=1)
    for name in ("a:b", "v1.asof-20261101T120000Z"):
        assert name in run("tag", "prod/app:w1", name, status=1)
    assert "absent" in run("tag", "prod/app:absent", "x", status=1)
    registry.deletion.manifest("prod/app", other.digest)
    run("tag", f"prod/app@{other.digest}", "x", status=1)
