"""What real cosign and notation sign is let through, for real clients and verifiers; nightly only (LADING_NIGHTLY=1).

The registry has users: a node may pull, an administrator may do all but manage, and the robot that signs may pull and
push. Only the robot is exempt from the policy.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bcrypt
import pytest

from tests.clients.pulling_clients import CLIENTS, NEWER, Node, log_in
from tests.support.client_commands import ProgramRunner
from tests.support.oci_layouts import Layout, write_image, write_index
from tests.support.requirements import find_program
from tests.support.server_process import Server, basic, run_lading, serving, user_environment

pytestmark = pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")

POLICY: Final = """
[[policies]]
name = "prod"
repositories = ["prod/*"]
tags = ["release"]
mode = "enforce"
exempt = ["robot+signer"]
[policies.signatures]
keys = [{name = "release", file = "cosign.pub"}]
"""
CERTIFICATE: Final = 'certificates = [{name = "notary", file = "notation/localkeys/release.crt"}]\n'

NODE: Final = "node:pulls"
REASON: Final = "policy prod: it is not signed by release"

HINTS: Final = {
    "cosign": "go install github.com/sigstore/cosign/v3/cmd/cosign@latest",
    "crane": "go install github.com/google/go-containerregistry/cmd/crane@latest",
    "helm": "go install helm.sh/helm/v3/cmd/helm@latest",
    "notation": "go install github.com/notaryproject/notation/cmd/notation@latest",
}


class Principal:
    """A user or robot of the registry, with a home for its credentials."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        self.commands = ProgramRunner(home)
        self.commands.set("XDG_CONFIG_HOME", str(home))
        self.commands.set("COSIGN_PASSWORD", "")

    def __call__(self, program: str, *words: str | Path) -> str:
        """Run a program to a good end; return its output."""
        return self.commands.run(find_program(program, HINTS[program]), *words)

    def fail(self, program: str, *words: str | Path) -> str:
        """Run a program to a bad end; return what it prints."""
        return self.commands.fail(find_program(program, HINTS[program]), *words)


@dataclass(frozen=True)
class World:
    """The registry, and who uses it: `signer`, who is exempt, and `pusher` are robots that may pull and push."""

    server: Server
    node: Node
    admin: Principal
    signer: Principal
    pusher: Principal

    def name(self, repository: str) -> str:
        return f"{self.server.host}/{repository}"

    def by_digest(self, name: str) -> str:
        """Return the name by digest of what a name is."""
        return f"{name.rpartition(':')[0]}@{self.admin('crane', 'digest', name).strip()}"

    def push(self, image: Layout, repository: str) -> str:
        """Push an image; return its name by digest."""
        self.admin("crane", "push", image.folder, f"{self.name(repository)}:v1")
        return f"{self.name(repository)}@{image.digest}"


def grant(folder: Path) -> Mapping[str, str]:
    """Return the variables of a registry with two users."""
    variables, _ = user_environment(folder)
    user, _, secret = NODE.partition(":")
    with (folder / "users").open("a") as users, (folder / "grants").open("a") as grants:
        users.write(f"{user}:{bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()}\n")
        grants.write(f"{user} prod/* pull\n")
    return variables


@pytest.fixture
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Principal:
    """The one that signs, with a key or certificate, and configurations of cosign without logs."""
    signer = Principal(tmp_path / "signer")
    signer("cosign", "generate-key-pair", f"--output-key-prefix={signer.home}/cosign")
    signer("cosign", "signing-config", "create", "--out", signer.home / "offline.json")
    signer("cosign", "trusted-root", "create", "--out", signer.home / "trusted.json")
    certificate = ""
    if request.node.callspec.params.get("form") == "notation":
        signer("notation", "cert", "generate-test", "--default", "release")
        certificate = CERTIFICATE
    (signer.home / "policies.toml").write_text(POLICY + certificate)
    return signer


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    environment: Mapping[str, str],
    signer: Principal,
    commands: ProgramRunner,
    tmp_path: Path,
) -> Iterator[World]:
    policies = signer.home / "policies.toml"
    variables = {**environment, **grant(tmp_path / "access"), "LADING_POLICIES": str(policies)}
    with serving(variables, tmp_path / "server.log") as server:
        server.authorization = basic("admin", "secret")
        admin, pusher = Principal(tmp_path / "admin"), Principal(tmp_path / "pusher")
        log_in(admin.commands, admin.home, server.host, "admin:secret")
        for name, person in (("signer", signer), ("pusher", pusher)):
            words = ["robots", "create", name, "--repositories", "prod/*", "--may", "pull,push"]
            secret = run_lading(words, tmp_path, variables).stdout.split()[-1]
            log_in(person.commands, person.home, server.host, f"robot+{name}:{secret}")
        (tmp_path / "pulled").mkdir()
        yield World(server, Node(request, commands, tmp_path / "pulled", server.host, NODE), admin, signer, pusher)


def sign_with_bundle(signer: Principal, image: str) -> None:
    words = ["sign", "--yes", f"--key={signer.home}/cosign.key", f"--signing-config={signer.home}/offline.json"]
    signer("cosign", *words, image)


def sign_with_tag(signer: Principal, image: str) -> None:
    older = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"]
    signer("cosign", "sign", "--yes", f"--key={signer.home}/cosign.key", *older, image)


def sign_with_notation(signer: Principal, image: str) -> None:
    signer("notation", "sign", "--insecure-registry", image)


FORMS: Final[Mapping[str, Callable[[Principal, str], None]]] = {
    "bundle": sign_with_bundle,
    "tag": sign_with_tag,
    "notation": sign_with_notation,
}


def push_chart(world: World, folder: Path) -> str:
    """Push a chart; return its name by tag. helm reads back what it pushes, so it pushes to where nothing is gated."""
    chart = folder / "chart"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 1.0.0\n")
    world.admin("helm", "package", "--destination", folder, chart)
    world.admin("helm", "push", "--plain-http", folder / "chart-1.0.0.tgz", f"oci://{world.name('free')}")
    world.admin("crane", "copy", f"{world.name('free/chart')}:1.0.0", f"{world.name('prod/chart')}:1.0.0")
    return f"{world.name('prod/chart')}:1.0.0"


@pytest.mark.parametrize("form", FORMS)
def test_clients_are_refused_until_the_exempt_robot_signs(
    form: str, world: World, layout: Layout, tmp_path: Path
) -> None:
    image, chart = f"{world.name('prod/app')}:v1", push_chart(world, tmp_path)
    world.push(layout, "prod/app")
    pulls = {
        (name, reference): client
        for name, client in world.node.pullers().items()
        for named in [chart if name == "helm" else image]
        for reference in (named, world.by_digest(named))
    }
    assert len(pulls) == 2 * len(CLIENTS | NEWER) == 26

    silent = {
        (name, image): printed
        for (name, image), client in pulls.items()
        if REASON not in (printed := client.fail(image))
    }
    assert silent == {}
    for each in (image, chart):
        FORMS[form](world.signer, world.by_digest(each))
    for (_, reference), client in pulls.items():
        client.pull(reference)

    # The tag names another image now, which has no signature: no client goes on with the image that it has.
    world.push(write_image(tmp_path / "next", [b"next"]), "prod/app")
    for (name, reference), client in pulls.items():
        if reference == image:
            assert REASON in client.fail(reference), name
        else:
            client.pull(reference)


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_of_an_index_counts_for_its_images(form: str, world: World, layout: Layout, tmp_path: Path) -> None:
    other = write_image(tmp_path / "other-image", [b"arm"])
    index = world.push(write_index(tmp_path / "index", [layout, other]), "prod/app")
    clients = {name: client for name, client in world.node.pullers().items() if name != "helm"}
    for name, client in clients.items():
        assert REASON in client.fail(f"{world.name('prod/app')}:v1"), name

    FORMS[form](world.signer, index)

    for client in clients.values():
        client.pull(f"{world.name('prod/app')}:v1")
        client.pull(f"{world.name('prod/app')}@{layout.digest}")


@pytest.mark.parametrize("form", FORMS)
def test_verifiers_need_no_more_than_to_pull(form: str, world: World, layout: Layout) -> None:
    image = world.push(layout, "prod/app")
    node = Principal(world.node.folder / "verifier")
    log_in(node.commands, node.home, world.server.host, NODE)
    FORMS[form](world.signer, image)

    if form == "notation":
        trust = {"name": "release", "registryScopes": ["*"], "signatureVerification": {"level": "strict"}}
        trust |= {"trustStores": ["ca:release"], "trustedIdentities": ["*"]}
        (node.home / "trust.json").write_text(json.dumps({"version": "1.0", "trustPolicies": [trust]}))
        certificate = world.signer.home / "notation" / "localkeys" / "release.crt"
        node("notation", "cert", "add", "--type", "ca", "--store", "release", certificate)
        node("notation", "policy", "import", node.home / "trust.json")
        node("notation", "verify", "--insecure-registry", image)
        return
    key = f"--key={world.signer.home}/cosign.pub"
    offline = [f"--trusted-root={world.signer.home}/trusted.json", "--insecure-ignore-tlog"]
    offline += ["--new-bundle-format=false"] if form == "tag" else []
    assert layout.digest in node("cosign", "verify", key, *offline, image)
    attest_as(form, world.signer, image)
    assert "payload" in node("cosign", "verify-attestation", key, "--type=custom", *offline, image)
    words = [f"--key={world.signer.home}/cosign.key", f"--signing-config={world.signer.home}/offline.json"]
    assert 'Permission "push" denied' in node.fail("cosign", "sign", "--yes", *words, image).replace("\\", "")


def attest_as(form: str, signer: Principal, image: str) -> None:
    """Attach an attestation of the form of a signature."""
    (signer.home / "predicate.json").write_text('{"passed": true}')
    older = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"]
    newer = [f"--signing-config={signer.home}/offline.json"]
    words = ["attest", "--yes", f"--key={signer.home}/cosign.key", "--type=custom"]
    predicate = f"--predicate={signer.home}/predicate.json"
    signer("cosign", *words, predicate, *(older if form == "tag" else newer), image)


@pytest.mark.parametrize("form", ["bundle", "tag"])
def test_a_policy_controller_pulls_signatures_with_a_token_to_pull(form: str, world: World, layout: Layout) -> None:
    """It gets the manifest, then what refers to it or its tags of cosign, and the layers of those."""
    digest, path = layout.digest, "/v2/prod/app"
    FORMS[form](world.signer, world.push(layout, "prod/app"))
    attest_as(form, world.signer, f"{world.name('prod/app')}@{digest}")
    scope = f"/v2/token?service={world.server.host}&scope=repository:prod/app:pull"
    _, content = world.server.request("GET", scope, headers={"Authorization": basic(*NODE.split(":"))})
    world.server.authorization = f"Bearer {json.loads(content)['token']}"

    def get(path: str) -> bytes:
        response, content = world.server.request("GET", path)
        assert response.status == 200, (path, content)
        return content

    assert get(f"{path}/manifests/{digest}") == layout.manifest
    if form == "bundle":
        listed = json.loads(get(f"{path}/referrers/{digest}"))["manifests"]
        names = [each["digest"] for each in listed]
    else:
        names = [digest.replace(":", "-") + suffix for suffix in (".sig", ".att")]
    manifests = [json.loads(get(f"{path}/manifests/{each}")) for each in names]
    layers = [get(f"{path}/blobs/{each['digest']}") for manifest in manifests for each in manifest["layers"]]
    assert len(layers) == 2


def test_a_robot_that_is_not_exempt_cannot_sign(world: World, layout: Layout) -> None:
    image = world.push(layout, "prod/app")
    words = ["sign", "--yes", f"--key={world.signer.home}/cosign.key"]

    assert REASON in world.pusher.fail("cosign", *words, f"--signing-config={world.signer.home}/offline.json", image)
    sign_with_bundle(world.signer, image)


@pytest.mark.parametrize("form", FORMS)
def test_a_tag_moves_to_what_is_signed_alone(form: str, world: World, layout: Layout, tmp_path: Path) -> None:
    release = f"{world.name('prod/app')}:release"
    image = world.push(layout, "prod/app")
    assert REASON in world.admin.fail("crane", "push", layout.folder, release)
    FORMS[form](world.signer, image)

    world.admin("crane", "push", layout.folder, release)

    following = write_image(tmp_path / "next", [b"next"])
    assert REASON in world.admin.fail("crane", "push", following.folder, release)
    assert world.admin("crane", "digest", release).strip() == layout.digest
