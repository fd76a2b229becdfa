"""The deployment on this machine is what the real one is: source, requirements, settings, and nothing else."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from emulators import source
from emulators.cloud import Cloud
from emulators.deployment import platform
from emulators.processes import EmulatorError
from emulators.runtime import Runtime, required
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.settings import load_settings
from lading_storage.digests import digest_of
from tests.cloud.containers import repository
from tests.cloud.h2c_requests import connected
from tests.support import images
from tests.support.server_process import Server, basic

ROOT = Path(__file__).parents[2]


def variables_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().rstrip("\0").split("\0")
    return dict(word.partition("=")[::2] for word in words)


@pytest.mark.parametrize("function", ["registry", "collect", "publish"])
def test_a_container_has_the_variables_that_terraform_and_the_platform_set(cloud: Cloud, function: str) -> None:
    text = (ROOT / "terraform" / "functions.tf").read_text()
    # The variables of OpenTelemetry are set with trace_ratio alone.
    of_terraform = set(re.findall(r"^ +((?!OTEL_)[A-Z_]+) += ", text.split("variables = {", 1)[1], re.MULTILINE))

    variables = cloud.variables[function]

    own = {name for name in variables if name.startswith(("LADING_", "DISABLE_"))} - {"LADING_IAM_EMULATOR_HOST"}
    assert own == of_terraform
    emulated = {f"{name}_EMULATOR_HOST" for name in ("LADING_IAM", "STORAGE", "FIRESTORE", "PUBSUB")}
    metadata = {"GCE_METADATA_HOST", "GCE_METADATA_IP"}
    assert set(variables) == own | set(platform(function)) | emulated | metadata


def test_a_container_has_no_other_variables(cloud: Cloud) -> None:
    started_with = variables_of(cloud.collect.process.pid)
    assert set(started_with) - set(cloud.variables["collect"]) == {"PATH", "HOME", "LANG", "PYTHONUNBUFFERED"}
    assert started_with["PORT"] == str(cloud.collect.port)


def test_the_collector_knows_the_registry_by_its_address(cloud: Cloud) -> None:
    assert load_settings(variables_of(cloud.collect.process.pid)).url == f"http://{cloud.host}"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime.install(tmp_path_factory.mktemp("runtime"), source.archive(source.files("registry")))


@pytest.mark.parametrize("module", ["lading", "lading_storage", "emulators", "tests", "pytest", "h2", "mypy"])
def test_nothing_of_this_checkout_or_its_tests_is_within_reach(runtime: Runtime, tmp_path: Path, module: str) -> None:
    assert f"No module named '{module}'" in errors_of(runtime, f"import {module}", tmp_path)


def errors_of(runtime: Runtime, code: str, folder: Path) -> str:
    """Run code by the Python of an environment, in a folder; return what it says on standard error."""
    command, variables = [str(runtime.python / "bin" / "python"), "-c", code], dict(runtime.environment())
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr


def test_the_programs_run_by_the_python_of_the_environment(runtime: Runtime) -> None:
    first = Path(runtime.command[0]).read_text().splitlines()[0]
    assert first == f"#!{runtime.python}/bin/python"


def test_a_file_that_the_archive_lacks_is_missed(tmp_path: Path) -> None:
    rest = {name: text for name, text in source.files("collect").items() if name != "lading/settings.py"}
    made = Runtime.install(tmp_path, source.archive(rest))
    assert "No module named 'lading.settings'" in errors_of(made, "import lading.settings", made.workspace)


ALL = """
import importlib, pkgutil
import lading, lading_storage
EXTRAS = ("lading.metrics.", "lading.scanner.", "lading.scanning.", "lading.traces.", "lading.policies.yaml_values")
for package in (lading, lading_storage):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith(EXTRAS):
            importlib.import_module(module.name)
"""


def test_all_that_is_imported_is_there(runtime: Runtime) -> None:
    """All modules of the archive, since most are imported only where they are needed.

    Not those that need an extra: Terraform refuses metrics, adds the packages of traces where it exports them, and
    scans by a function of its own, whose archive the tests of the scanner run. Commands alone read YAML.
    """
    assert errors_of(runtime, ALL, runtime.workspace) == ""


def test_a_requirement_that_is_not_installed_is_named(tmp_path: Path) -> None:
    archive = source.archive({"requirements.txt": b"no-such-distribution==1 \\\n    --hash=sha256:00\n"})
    with pytest.raises(EmulatorError, match=r"no-such-distribution.*pip install"):
        Runtime.install(tmp_path, archive)


def test_of_the_requirements_those_of_other_systems_are_left_out() -> None:
    lines = ["# words", "a==1 \\", "    --hash=sha256:00", "b==2 ; sys_platform == 'win32' \\", "    --hash=sha256:00"]
    assert required("\n".join(lines)) == ["a"]


def test_equal_files_make_equal_archives() -> None:
    assert source.archive({"a": b"1", "b": b"2"}) == source.archive({"b": b"2", "a": b"1"})


def test_http1_and_h2c_are_served_on_the_same_port(registry: Server) -> None:
    assert registry.request("GET", "/v2/")[0].status == 200
    with connected(registry) as http2:
        assert http2.request("GET", "/v2/").status == 200


def test_head_says_the_length_that_get_has(registry: Server) -> None:
    """Without it docker neither pulls nor pushes."""
    name, manifest = repository(), images.manifest([])
    registry.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(images.EMPTY_CONFIG)}", images.EMPTY_CONFIG)
    kind = {"Content-Type": OCI_MANIFEST}
    assert registry.request("PUT", f"/v2/{name}/manifests/v1", manifest, kind)[0].status == 201
    with connected(registry) as http2:
        for path in ("/v2/", "/v2/_catalog", f"/v2/{name}/manifests/v1", f"/v2/{name}/tags/list"):
            got, body = registry.request("GET", path)
            asked, _ = registry.request("HEAD", path)
            lengths = {got.headers["Content-Length"], asked.headers["Content-Length"]}
            lengths |= {http2.request(method, path).headers["content-length"] for method in ("GET", "HEAD")}
            assert (got.status, asked.status, lengths) == (200, 200, {str(len(body))})


def test_its_log_is_what_cloud_logging_reads(registry: Server) -> None:
    registry.request("GET", "/v2/")
    # Before the first request it says in plain text what it serves.
    text = registry.log.read_text()
    lines = [json.loads(line) for line in text[text.index("\n{") :].splitlines() if line]
    assert {line["severity"] for line in lines} <= {"INFO", "WARNING", "ERROR"}
    assert any("httpRequest" in line for line in lines)


def test_only_who_has_rights_may_do_anything(registry: Server, cloud: Cloud) -> None:
    headers = {"Authorization": basic("oauth2accesstoken", cloud.accounts.reader)}
    assert registry.request("POST", "/v2/team-a/app/blobs/uploads/", headers=headers)[0].status == 403
    assert registry.request("GET", "/v2/team-a/app/tags/list", headers=headers)[0].status == 404
    assert registry.request("GET", "/v2/team-b/app/tags/list", headers=headers)[0].status == 403
    headers = {"Authorization": basic("oauth2accesstoken", "ya29.unknown")}
    assert registry.request("GET", "/v2/", headers=headers)[0].status == 401
