"""Real clients log in, push where they may, are refused where not, and pull what is public without logging in.

The registry asks the fake of IAM: `owner` may do all in team/, `reader` may pull there; library/ is public.
"""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from emulators.iam import IamEmulator
from emulators.processes import ProcessGroup
from tests.support import fake_iam_world
from tests.support.client_commands import ProgramRunner
from tests.support.container_daemons import Ctr, Docker, bring_in, forget, make_image
from tests.support.fake_iam_world import DELETE, PULL, PUSH, SERVICE_ACCOUNT, FakeIamWorld
from tests.support.oci_layouts import Layout, read_blobs
from tests.support.requirements import find_program
from tests.support.server_process import Server, basic, run_lading, serving

DENIED = 'Permission "storage.objects.create" denied on resource'
ROOT = Path(__file__).parents[2]
OWNER, READER = "ya29.owner", "ya29.reader"


@dataclass
class Registry:
    """A guarded registry, which has an image in library/app and in team/app."""

    server: Server
    world: FakeIamWorld
    environment: Mapping[str, str]

    @property
    def host(self) -> str:
        return self.server.host


@pytest.fixture(scope="session")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    with ProcessGroup() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


@pytest.fixture
def registry(iam: IamEmulator, commands: ProgramRunner, layout: Layout, tmp_path: Path) -> Iterator[Registry]:
    world = FakeIamWorld(iam)
    fake_iam_world.register_service_account(world)
    for name, permissions in {"owner": (PULL, PUSH, DELETE), "reader": (PULL,)}.items():
        world.token(name)
        for folder in ("team/", "library/"):
            world.folder(folder, *permissions, member=f"user:{name}@example.com")
    world.folder("team/", PULL, PUSH, member=f"serviceAccount:{SERVICE_ACCOUNT}")
    environment = {
        "LADING_IAM_EMULATOR_HOST": iam.url,
        "LADING_ACCESS": f"gs://{fake_iam_world.BUCKET}",
        "LADING_FOLDERS": "team,library",
        "LADING_PUBLIC": "library/*",
        "LADING_DATA": str(tmp_path / "data"),
    }
    with serving(environment, tmp_path / "server.log") as server:
        skopeo = find_program("skopeo", "apt install skopeo")
        for name in ("library/app:v1", "team/app:v1"):
            target = ["--dest-tls-verify=false", f"--dest-creds=oauth2accesstoken:{OWNER}"]
            source = ["copy", "--preserve-digests", f"oci:{layout.folder}:v1", f"docker://{server.host}/{name}"]
            commands.run(skopeo, "--insecure-policy", *source, *target)
        yield Registry(server, world, environment)
        log = server.log.read_text()
        assert OWNER not in log
        assert "eyJ" not in log


def audited(registry: Registry, *words: str) -> bool:
    """Return whether a line of the audit has all these words as values of its fields."""
    lines = [line for line in registry.server.log.read_text().splitlines() if " audit " in line]
    told = [{field.partition("=")[2] for field in line.split()} for line in lines]
    return any(values.issuperset(words) for values in told)


def printed(source: str, host: str) -> list[list[str]]:
    """Return the lines for gcloud that a source prints for a host, in its order."""
    find_program("gcloud", "apt install google-cloud-cli")
    match source:
        case "login-help":
            text = run_lading(["login-help", host], ROOT).stdout
        case "README.md" | "docs/access.md":
            text = (ROOT / source).read_text().replace("HOST", host)
        case _:
            text = (ROOT / "terraform" / "outputs.tf").read_text().replace("${local.host}", host)
    lines = [line.split() for line in text.splitlines()]
    wanted = (["gcloud", "config", "set"], ["gcloud", "auth", "configure-docker"])
    return [line for line in lines if line[:3] in wanted][:2]


@pytest.mark.parametrize("source", ["login-help", "README.md", "docs/access.md", "terraform"])
def test_the_printed_lines_let_clients_in(
    registry: Registry, commands: ProgramRunner, layout: Layout, source: str
) -> None:
    """Run literally, as a user who has configured nothing would: in this order they work, in the other not."""
    crane = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    commands.set("CLOUDSDK_AUTH_ACCESS_TOKEN", OWNER)
    commands.set("CLOUDSDK_CORE_DISABLE_PROMPTS", "false")
    lines = printed(source, registry.host)
    assert [line[:3] for line in lines] == [["gcloud", "config", "set"], ["gcloud", "auth", "configure-docker"]]
    assert "unauthorized" in commands.fail(crane, "push", layout.folder, f"{registry.host}/team/new:v1").lower()

    for line in lines:
        commands.run(*line)

    commands.run(crane, "push", layout.folder, f"{registry.host}/team/new:v1")
    assert audited(registry, "owner@example.com", "push", "team/new", "v1", "allowed")


PRINTED: Final = (
    "README.md",
    "docs/access.md",
    "docs/emulators.md",
    "terraform/README.md",
    "terraform/outputs.tf",
    "functions/lading/commands/access.py",
)


@pytest.mark.parametrize("file", PRINTED)
def test_no_password_stands_on_a_command_line(file: str) -> None:
    for line in (ROOT / file).read_text().splitlines():
        if " login " in line and " -u " in line:
            assert not re.search(r" (-p|--password)[ =]", line), line
            assert "--password-stdin" in line or line.strip().startswith("docker login -u NAME "), line


def test_gcloud_lets_docker_in(registry: Registry, docker: Docker, commands: ProgramRunner, tmp_path: Path) -> None:
    commands.set("CLOUDSDK_AUTH_ACCESS_TOKEN", OWNER)
    for line in printed("login-help", registry.host):
        commands.run(*line)
    (tmp_path / "context").mkdir()
    name = f"{registry.host}/team/new:v1"
    image = make_image(docker, tmp_path / "context", name)

    docker("push", name)
    docker("rmi", "-f", name, f"{name}-base", image)
    docker("pull", name)

    assert docker("image", "inspect", "-f", "{{.Id}}", name).strip() == image
    assert audited(registry, "owner@example.com", "push", "team/new", "v1", "allowed")

    commands.set("CLOUDSDK_AUTH_ACCESS_TOKEN", READER)
    docker("tag", name, f"{registry.host}/team/other:v1")
    refused = docker.fail("push", f"{registry.host}/team/other:v1")
    assert f"denied: {DENIED}" in refused
    assert "(or it may not exist)" in refused
    assert audited(registry, "reader@example.com", "push", "team/other", "refused")
    docker("pull", f"{registry.host}/team/app:v1")
    assert "denied" in docker.fail("pull", f"{registry.host}/elsewhere/app:v1")


@pytest.mark.parametrize("user", ["oauth2accesstoken", "_dcgcloud_token", "_dcgcr_2_1_5_token", "gclouddockertoken"])
def test_docker_logs_in_with_a_token(registry: Registry, docker: Docker, user: str) -> None:
    assert "unauthorized" in docker.fail("login", "-u", user, "--password-stdin", registry.host, stdin="ya29.wrong")

    docker("login", "-u", user, "--password-stdin", registry.host, stdin=OWNER)
    docker("pull", f"{registry.host}/team/app:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/team/copy:v1")
    docker("push", f"{registry.host}/team/copy:v1")


@pytest.mark.parametrize("user", ["_json_key", "_json_key_base64"])
def test_docker_logs_in_with_a_service_accounts_key(registry: Registry, docker: Docker, user: str) -> None:
    key = fake_iam_world.service_account_key(token_uri="http://127.0.0.1:1/")
    secret = base64.b64encode(key.encode()).decode() if user.endswith("64") else key

    docker("login", "-u", user, "--password-stdin", registry.host, stdin=secret)
    docker("pull", f"{registry.host}/team/app:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/team/copy:v1")
    docker("push", f"{registry.host}/team/copy:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/library/copy:v1")

    assert f"denied: {DENIED}" in docker.fail("push", f"{registry.host}/library/copy:v1")
    assert audited(registry, SERVICE_ACCOUNT, "push", "team/copy", "v1", "allowed")


def test_docker_credential_gcr_lets_docker_in(registry: Registry, docker: Docker, commands: ProgramRunner) -> None:
    helper = find_program(
        "docker-credential-gcr", "go install github.com/GoogleCloudPlatform/docker-credential-gcr/v2@latest"
    )
    commands.set("CLOUDSDK_AUTH_ACCESS_TOKEN", OWNER)
    commands.set("PATH", f"{Path(helper).parent}:{os.environ['PATH']}")
    commands.run(helper, "config", "--token-source=gcloud")
    commands.run(helper, "configure-docker", "--overwrite", f"--registries={registry.host}")

    docker("pull", f"{registry.host}/team/app:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/team/copy:v1")
    docker("push", f"{registry.host}/team/copy:v1")


def test_docker_comes_with_a_refresh_token(registry: Registry, docker: Docker, commands: ProgramRunner) -> None:
    """A credential helper that calls its user <token> hands out what docker takes for one, and sends by POST."""
    auth = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
    configuration = {"auths": {registry.host: {"auth": auth, "identitytoken": OWNER}}}
    commands.configure_docker(json.dumps(configuration))

    docker("pull", f"{registry.host}/team/app:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/team/copy:v1")
    docker("push", f"{registry.host}/team/copy:v1")

    log = registry.server.log.read_text()
    assert " POST /v2/token 200 " in log
    assert audited(registry, "owner@example.com", "push", "team/copy", "v1", "allowed")


def test_docker_comes_as_a_robot(registry: Registry, docker: Docker, tmp_path: Path) -> None:
    made = run_lading(["robots", "create", "ci", "--repositories", "team/*"], tmp_path, registry.environment)
    secret = made.stdout.split()[-1]
    docker("login", "-u", "robot+ci", "--password-stdin", registry.host, stdin=secret)

    docker("pull", f"{registry.host}/team/app:v1")
    docker("tag", f"{registry.host}/team/app:v1", f"{registry.host}/team/copy:v1")
    refused = docker.fail("push", f"{registry.host}/team/copy:v1")
    assert 'denied: Permission "push" denied on resource "repositories/team/copy"' in refused

    run_lading(["robots", "revoke", "ci"], tmp_path, registry.environment)
    registry.server.stop()
    with serving(registry.environment, tmp_path / "again.log") as again:
        assert again.request("GET", "/v2/token", headers={"Authorization": basic("robot+ci", secret)})[0].status == 401


def test_docker_pulls_what_is_public_without_logging_in(registry: Registry, docker: Docker) -> None:
    docker("pull", f"{registry.host}/library/app:v1")
    for name in ("team/app", "absent/app"):
        refused = docker.fail("pull", f"{registry.host}/{name}:v1")
        assert "authentication required" in refused or "pull access denied" in refused
    docker("tag", f"{registry.host}/library/app:v1", f"{registry.host}/library/mine:v1")
    assert "denied" in docker.fail("push", f"{registry.host}/library/mine:v1")
    assert " POST /v2/library/mine/blobs/uploads/ 401 " in registry.server.log.read_text()


def test_crane(registry: Registry, commands: ProgramRunner, layout: Layout) -> None:
    path = find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    login = (path, "auth", "login", registry.host, "-u", "oauth2accesstoken", "--password-stdin")
    team = f"{registry.host}/team"

    commands.run(path, "validate", "--remote", f"{registry.host}/library/app:v1")
    assert "UNAUTHORIZED" in commands.fail(path, "manifest", f"{team}/app:v1")
    commands.run(*login, stdin=OWNER)
    commands.run(path, "push", layout.folder, f"{team}/new:v1")
    commands.run(path, "copy", f"{team}/new:v1", f"{team}/copy:v1")
    commands.run(path, "validate", "--remote", f"{team}/copy:v1")
    mounted = registry.server.log.read_text().count(" POST /v2/team/copy/blobs/uploads/ 201 ")
    assert mounted == len(layout.blobs), "each blob is mounted, with a token for both repositories"
    listed = commands.run(path, "catalog", registry.host).split()
    assert listed == ["library/app", "team/app", "team/copy", "team/new"]
    commands.run(path, "delete", f"{team}/copy:v1")
    commands.run(*login, stdin=READER)
    commands.run(path, "pull", f"{team}/new:v1", layout.folder.with_suffix(".out"))
    assert "DENIED" in commands.fail(path, "push", layout.folder, f"{team}/other:v1")
    assert "DENIED" in commands.fail(path, "delete", f"{team}/new:v1")


def test_skopeo(registry: Registry, commands: ProgramRunner, layout: Layout, tmp_path: Path) -> None:
    words = (find_program("skopeo", "apt install skopeo"), "--insecure-policy")
    team, image = f"docker://{registry.host}/team", f"oci:{layout.folder}:v1"
    owner, reader = (f"oauth2accesstoken:{token}" for token in (OWNER, READER))
    inspect, delete = (*words, "inspect", "--tls-verify=false"), (*words, "delete", "--tls-verify=false")
    push = (*words, "copy", "--dest-tls-verify=false", image)

    commands.run(*inspect, f"docker://{registry.host}/library/app:v1")
    assert "authentication required" in commands.fail(*inspect, f"{team}/app:v1")
    commands.run(*push, "--dest-creds", owner, f"{team}/new:v1")
    pull = (*words, "copy", "--src-tls-verify=false", "--src-creds", reader)
    commands.run(*pull, f"{team}/new:v1", f"oci:{tmp_path}/out:v1")
    assert "denied" in commands.fail(*push, "--dest-creds", reader, f"{team}/other:v1")
    assert "denied" in commands.fail(*delete, "--creds", reader, f"{team}/new:v1")
    commands.run(*delete, "--creds", owner, f"{team}/new:v1")


def test_oras(registry: Registry, commands: ProgramRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = find_program("oras", "go install oras.land/oras/cmd/oras@latest")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("data")
    login = (path, "login", "--plain-http", "-u", "oauth2accesstoken", "--password-stdin", registry.host)
    fetch, push = (path, "manifest", "fetch", "--plain-http"), (path, "push", "--plain-http")
    team, data = f"{registry.host}/team", "data.txt:text/plain"

    commands.run(*fetch, f"{registry.host}/library/app:v1")
    assert "authentication required" in commands.fail(*fetch, f"{team}/app:v1")
    assert "authentication required" in commands.fail(*login, stdin="ya29.wrong")
    commands.run(*login, stdin=OWNER)
    commands.run(*push, f"{team}/thing:v1", data)
    commands.run(path, "attach", "--plain-http", "--artifact-type", "a/b", f"{team}/thing:v1", data)
    both = ("--from-plain-http", "--to-plain-http")
    commands.run(path, "cp", "-r", *both, f"{team}/thing:v1", f"{team}/copy:v1")
    commands.run(path, "manifest", "delete", "-f", "--plain-http", f"{team}/copy:v1")
    commands.run(*login, stdin=READER)
    commands.run(path, "pull", "--plain-http", "-o", "out", f"{team}/thing:v1")
    assert DENIED in commands.fail(*push, f"{team}/other:v1", data).replace("\\", "")


def test_regctl(registry: Registry, commands: ProgramRunner, layout: Layout, tmp_path: Path) -> None:
    path = find_program("regctl", "go install github.com/regclient/regclient/cmd/regctl@latest")
    commands.run(path, "registry", "set", "--tls", "disabled", registry.host)
    login = (path, "registry", "login", registry.host, "-u", "oauth2accesstoken", "--pass-stdin")

    commands.run(path, "manifest", "head", f"{registry.host}/library/app:v1")
    commands.fail(path, "manifest", "head", f"{registry.host}/team/app:v1")
    commands.run(*login, stdin=OWNER)
    commands.run(path, "image", "copy", f"ocidir://{layout.folder}:v1", f"{registry.host}/team/new:v1")
    commands.run(path, "image", "copy", f"{registry.host}/team/new:v1", f"{registry.host}/team/copy:v1")
    assert "team/new" in commands.run(path, "repo", "ls", registry.host).split()
    commands.run(path, "tag", "delete", f"{registry.host}/team/copy:v1")
    commands.run(*login, stdin=READER)
    commands.run(path, "image", "copy", f"{registry.host}/team/new:v1", f"ocidir://{tmp_path}/out:v1")
    refused = commands.fail(path, "image", "copy", f"ocidir://{layout.folder}:v1", f"{registry.host}/team/other:v1")
    assert "unauthorized" in refused or "403" in refused or "denied" in refused.lower()


def test_containerd(registry: Registry, ctr: Ctr, content: Path, layout: Layout) -> None:
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{registry.host}/library/app:v1")
    forget(ctr, f"{registry.host}/library/app:v1")
    with pytest.raises(AssertionError, match=r"401 Unauthorized|authorization failed"):
        ctr("images", "pull", "--plain-http", "--snapshotter", "native", f"{registry.host}/team/app:v1")

    owner, reader = (f"oauth2accesstoken:{token}" for token in (OWNER, READER))
    repository = f"{registry.host}/team/new"
    bring_in(ctr, layout, repository)
    ctr("images", "push", "--plain-http", "-u", owner, f"{repository}:v1")
    ctr("images", "tag", f"{repository}:v1", f"{registry.host}/team/other:v1")
    with pytest.raises(AssertionError, match=r"403|insufficient|authorization failed"):
        ctr("images", "push", "--plain-http", "-u", reader, f"{registry.host}/team/other:v1")
    forget(ctr, f"{repository}:v1", f"{registry.host}/team/other:v1")
    ctr("images", "pull", "--plain-http", "--snapshotter", "native", "-u", reader, f"{repository}:v1")
    assert read_blobs(content) == {**layout.blobs, layout.digest: layout.manifest}
    assert " POST /v2/token 200 " in registry.server.log.read_text(), "containerd logs in by POST"
