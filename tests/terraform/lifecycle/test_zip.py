"""What Terraform uploads serves docker: unpacked, with only its requirements installed, and started as Google does it.

The settings and the rights are those that the same apply made: a fake of IAM refuses what they do not grant.
"""

import base64
import contextlib
import io
import os
import secrets
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from emulators import Emulators, deployment, source
from lading.settings import load_settings
from lading_storage.digests import digest_of
from tests.support.client_fixtures import commands, docker, docker_address  # noqa: F401  # fixtures
from tests.support.container_daemons import Docker
from tests.support.fake_cloud_services import metadata_server
from tests.support.requirements import find_program
from tests.support.server_process import Server, basic, serving
from tests.terraform.deployed_permissions import DEVELOPER, RUNTIME, account_of, settings_of, write_iam_world
from tests.terraform.deployment_lifecycle import DeploymentLifecycle, DeploymentState
from tests.terraform.terraform_cli import ROOT

FUNCTIONS = "cloudfunctions2/projects/fake-project/locations/europe-west1/functions"
CLOUD_RUN = {"K_SERVICE": "lading", "FUNCTION_TARGET": "registry"}
STARTS: Mapping[str, Mapping[str, str]] = {"as a developer starts it": {}, "as Cloud Run starts it": CLOUD_RUN}


def uploaded(moment: DeploymentState, function: str = "registry") -> bytes:
    """The zip of a function, as Terraform sent it to Cloud Storage."""
    objects = moment.of("storage/b/fake-project-lading-source/o/").values()
    (object,) = [each for each in objects if each["name"].startswith(f"{function}-")]
    return base64.b64decode(object["media"])


def test_it_holds_the_program_and_nothing_else(life: DeploymentLifecycle) -> None:
    with zipfile.ZipFile(io.BytesIO(uploaded(life.applied))) as archive:
        names = set(archive.namelist())
        assert archive.read("main.py") == (ROOT / "functions" / "main.py").read_bytes()
    packages = {
        str(path.relative_to(ROOT / folder))
        for folder, package in (("functions", "lading"), ("storage", "lading_storage"))
        for path in (ROOT / folder / package).rglob("*.py")
    }
    assert names == packages | {"main.py", "requirements.txt"}


@pytest.mark.parametrize("function", ["registry", "collect", "publish", "scan"])
def test_the_deployment_on_this_machine_has_the_same(life: DeploymentLifecycle, function: str) -> None:
    """See emulators.cloud."""
    with zipfile.ZipFile(io.BytesIO(uploaded(life.applied, function))) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents == source.files(function)
    applied = settings_of(life.applied, function)
    theirs = tomllib.loads(applied["LADING_CONFIG"])
    stores = {"LADING_BLOBS": theirs["stores"]["blobs"], "LADING_METADATA": theirs["stores"]["metadata"]}
    own = deployment.settings(theirs["server"]["url"], stores, deployment.Accounts.create())
    assert own.keys() == applied.keys()
    ours = tomllib.loads(own["LADING_CONFIG"])
    for of_here in (
        *(("access", "folders"), ("access", "keys"), ("access", "mode"), ("jobs", "collector")),
        *(("events", "topic"), ("events", "notifications-topic"), ("events", "publisher"), ("scans", "scanner")),
    ):
        assert theirs[of_here[0]].pop(of_here[1]).__class__ is ours[of_here[0]].pop(of_here[1]).__class__
    assert ours == theirs
    assert [*ours] == [*theirs]


def test_only_the_registry_installs_envoy(life: DeploymentLifecycle) -> None:
    contents = {}
    for function in ("registry", "collect", "publish", "scan"):
        with zipfile.ZipFile(io.BytesIO(uploaded(life.applied, function))) as archive:
            contents[function] = {name: archive.read(name).decode() for name in archive.namelist()}
        source = life.applied.resources[f"{FUNCTIONS}/lading-{function}"]["buildConfig"]["source"]["storageSource"]
        assert source["object"].startswith(f"{function}-")
    requirements = {function: files.pop("requirements.txt") for function, files in contents.items()}
    assert contents["registry"] == contents["collect"] == contents["publish"] == contents["scan"]
    assert requirements["collect"] == requirements["publish"] == (ROOT / "functions" / "requirements.txt").read_text()
    assert "\nenvoy-server==" in requirements["registry"].removeprefix(requirements["collect"])
    assert "envoy" not in requirements["collect"] + requirements["scan"]
    assert "\nunivers==" in requirements["scan"].removeprefix(requirements["collect"])


def test_its_requirements_are_those_of_the_program() -> None:
    lines = (ROOT / "functions" / "requirements.txt").read_text().splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    for wanted in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]):
        assert pins[wanted.name] in wanted.specifier, wanted
    # Each is pinned to files, which pip then insists on.
    hashes = "\n".join(lines).split("==")[1:]
    assert all("--hash=sha256:" in pin for pin in hashes)


def test_nothing_is_missing_of_what_they_want_in_turn(unpacked: Path) -> None:
    done = subprocess.run([unpacked / "venv" / "bin" / "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def unpacked(life: DeploymentLifecycle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip in an empty folder, beside an environment that has what requirements.txt says, and no more."""
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(io.BytesIO(uploaded(life.applied))) as archive:
        archive.extractall(folder / "workspace")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=120)
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "-q", "--require-hashes"]
    subprocess.run([*pip, "-r", str(folder / "workspace" / "requirements.txt")], check=True, timeout=600)
    return folder


@pytest.fixture(params=list(STARTS.values()), ids=list(STARTS))
def registry(
    request: pytest.FixtureRequest, life: DeploymentLifecycle, unpacked: Path, emulators: Emulators, tmp_path: Path
) -> Iterator[Server]:
    """The function, with the settings that Terraform gave it, but for the addresses of emulators."""
    service = life.applied.resources["cloud_run_v2/projects/fake-project/locations/europe-west1/services/lading"]
    given = {each["name"]: each["value"] for each in service["template"]["containers"][0]["env"]}
    with contextlib.suppress(urllib.error.HTTPError):
        emulators.storage.make_bucket(load_settings(given).blobs.removeprefix("gs://"))
    write_iam_world(life.applied, emulators.iam)
    with metadata_server(account_of(life.applied, "registry"), RUNTIME) as metadata:
        environment = {**given, **addresses(emulators), **metadata, **request.param}
        folder = unpacked / "workspace"
        own = ["env", "-u", "PYTHONPATH", "-u", "LADING_ACCESS", "-C", str(folder)]
        own += ["PORT={port}", "LADING_URL=http://127.0.0.1:{port}"]
        framework = [str(unpacked / "venv" / "bin" / "functions-framework"), "--target=registry"]
        with serving(environment, tmp_path / "log", command=[*own, *framework]) as server:
            server.authorization = basic("oauth2accesstoken", DEVELOPER)
            yield server


def addresses(emulators: Emulators) -> Mapping[str, str]:
    """Where the emulators are."""
    hosts = emulators.fresh_stores()
    return {name: value for name, value in hosts.items() if name.endswith("_EMULATOR_HOST")}


def test_docker_pushes_and_pulls(registry: Server, docker: Docker, tmp_path: Path) -> None:  # noqa: F811
    name = f"{registry.host}/team-a/app:{secrets.token_hex(4)}"
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    with tarfile.open(tmp_path / "root.tar", "w") as archive:
        archive.add(tmp_path / "file", "file")
    image = docker("import", tmp_path / "root.tar", name).strip()
    docker("login", "-u", "oauth2accesstoken", "--password-stdin", registry.host, stdin=DEVELOPER)

    pushed = docker("push", name)
    docker("rmi", "-f", name)
    pulled = docker("pull", name)

    assert f"Digest: {pushed.split('digest: ')[1].split()[0]}" in pulled
    assert docker("image", "inspect", "-f", "{{.Id}}", name).strip() == image
    elsewhere = f"{registry.host}/team-b/app:v1"
    docker("tag", name, elsewhere)
    assert "denied" in docker.fail("push", elsewhere)


@pytest.mark.parametrize("registry", [CLOUD_RUN], indirect=True, ids=["as Cloud Run starts it"])
def test_a_layer_goes_in_and_comes_out_over_h2c(registry: Server, tmp_path: Path) -> None:
    layer = os.urandom(1_000_000)
    digest = digest_of(layer)
    (tmp_path / "layer").write_bytes(layer)
    curl = [find_program("curl", "apt install curl"), "-s", "--http2-prior-knowledge", "-H"]
    curl += [f"Authorization: {registry.authorization}", "-w", "%{http_version} %{http_code} %{redirect_url}"]

    def ask(path: str, *more: str) -> list[str]:
        command = [*curl, *more, f"http://{registry.host}/v2/team-a/app/blobs/{path}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()

    data = ["-X", "POST", "-H", "Content-Type: application/octet-stream", "--data-binary", f"@{tmp_path / 'layer'}"]
    assert ask(f"uploads/?digest={digest}", *data) == ["2", "201"]
    version, status, location = ask(digest)
    assert (version, status) == ("2", "307")
    with urllib.request.urlopen(location, timeout=60) as answer:
        assert answer.read() == layer
