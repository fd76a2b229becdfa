"""What is installed: no known holes, locks that satisfy pyproject.toml, an audit in CI, releases with provenance."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(each) for each in PROJECT["dependencies"]]
CLOUD = [Requirement(each) for each in PROJECT["optional-dependencies"]["cloud"]]
SCAN = [Requirement(each) for each in PROJECT["optional-dependencies"]["scan"]]
SIGSTORE = [Requirement(each) for each in PROJECT["optional-dependencies"]["sigstore"]]
METRICS = [Requirement(each) for each in PROJECT["optional-dependencies"]["metrics"]]
TRACES = [Requirement(each) for each in PROJECT["optional-dependencies"]["traces"]]
TEST = [Requirement(each) for each in PROJECT["optional-dependencies"]["test"]]
SAFE = {
    "cryptography": "48",
    "h2": "4.3",
    "pyjwt": "2.13",
    "requests": "2.32.4",
    "urllib3": "2.6.3",
    "werkzeug": "3.1.5",
}
"""The first versions without holes that were published by November 2026."""
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def pins(lock: str) -> dict[str, str]:
    """The version of each package of a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", SAFE)
def test_no_version_with_a_known_hole_may_be_installed(name: str) -> None:
    (wanted,) = (each for each in (*RUNTIME, *TEST) if each.name == name)
    (floor,) = (Version(each.version) for each in wanted.specifier if each.operator == ">=")
    assert floor >= Version(SAFE[name])


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("functions/requirements.txt", RUNTIME),
        ("functions/requirements-envoy.txt", CLOUD),
        ("functions/requirements-metrics.txt", METRICS),
        ("functions/requirements-scan.txt", SCAN),
        ("functions/requirements-sigstore.txt", SIGSTORE),
        ("functions/requirements-traces.txt", TRACES),
        (".ci/requirements.txt", [*RUNTIME, *CLOUD, *TEST]),
    ],
)
def test_a_lock_satisfies_what_the_program_wants(lock: str, wanted: list[Requirement]) -> None:
    pinned = pins(lock)
    for each in wanted:
        assert pinned[canonicalize_name(each.name)] in each.specifier, each
    blocks = re.split(r"^(?=[a-z])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pinned)
    assert all("--hash=sha256:" in block for block in blocks), "each is pinned to files"


def test_ci_tests_the_versions_that_are_deployed() -> None:
    names = ("requirements", *(f"requirements-{extra}" for extra in ("envoy", "metrics", "scan", "sigstore", "traces")))
    deployed = {name: version for each in names for name, version in pins(f"functions/{each}.txt").items()}
    assert deployed.items() <= pins(".ci/requirements.txt").items()
    run = (ROOT / ".ci" / "run").read_text()
    assert "--require-hashes -r .ci/requirements.txt" in run
    assert "python .ci/audit.py" in run


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD = {"name": "werkzeug", "version": "3.1.9", "vulns": []}
BAD = {"name": "pyjwt", "version": "2.9", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.13"]}]}
UNKNOWN = {"name": "granian", "skip_reason": "not found on PyPI"}


def test_the_audit_fails_for_a_hole_and_for_what_it_cannot_look_up(audit: ModuleType) -> None:
    assert audit.verdict([GOOD], False) == (0, ["audit: no known vulnerability in 1 packages"])
    assert audit.verdict([GOOD, BAD], False) == (1, ["audit: pyjwt 2.9 has PYSEC-1, fixed in 2.13"])
    assert audit.verdict([GOOD, UNKNOWN], False) == (1, ["audit: granian could not be looked up"])


def test_an_index_without_advisories_passes_only_where_no_release_is_made(audit: ModuleType) -> None:
    for nothing in ([], [UNKNOWN]):
        status, (line,) = audit.verdict(nothing, False)
        assert status == 0
        assert line.startswith("audit: skipped:")
        status, (line,) = audit.verdict(nothing, True)
        assert status == 1
        assert line.startswith("audit: FAILED:")
    assert any("LADING_AUDIT: required" in path.read_text() for path in WORKFLOWS)


def test_each_action_of_a_workflow_is_pinned_to_a_commit() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
