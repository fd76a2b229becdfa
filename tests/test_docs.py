"""What the documents name exists, and the generated tables are current."""

import argparse
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from lading import cli
from lading.jobs.doctor.front import FrontChecks
from lading.jobs.doctor.host import HostChecks
from lading.settings import SETTINGS
from tests.support.documents import DOCS, PAGES, ROOT, anchors, inline_code, links, rows, shell_blocks, shell_commands
from tests.support.generate_docs import TABLES, generate, page

GOOGLE = (DOCS / "operations-google-cloud.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN_PAGES = [path for path in (*PAGES, ROOT / "CHANGELOG.md") if path.parent.name != "terraform"]
DIALECT = ("nobody", "anybody", "somebody", "whoever", "strangers?", "mend(?:s|ed|ing)?", "let in", "lets in")
"""Everyday words where the trade has a term: client, caller, principal, repair, authenticate."""
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))

OTHER_VARIABLES = {
    "LADING_CONFIG",  # lading.toml
    "LADING_AUDIT",  # .ci/audit.py
    "LADING_HOST",  # python -m emulators cloud
    "LADING_TOKEN",  # python -m emulators cloud, lading doctor
    "LADING_NIGHTLY",
    "LADING_SOURCE_HASH",  # terraform/service.tf
    "LADING_TRACEBACK",
}
OTHER_OPTIONS = {"--attest", "--config-yaml", "--data-file", "--peers", "--pip", "--sidecar"}
"""Options of Envoy, gcloud, `python -m tests.benchmarks`, and `python -m emulators cloud`."""


def parsers(parser: argparse.ArgumentParser | None = None) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of `lading`, and those of all its commands."""
    parser = parser or cli._parser()
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def test_every_page_is_linked() -> None:
    linked = {path for each in PAGES for path, _ in links(each)}
    assert {path for path in PAGES if path not in linked} == set()
    index = {path for path, _ in links(DOCS / "README.md")}
    assert {path for path in DOCS.rglob("*.md") if path not in index} == {DOCS / "README.md"}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_resolves(path: Path) -> None:
    for target, fragment in links(path):
        assert target.exists(), target
        assert not fragment or fragment in anchors(target), f"{target.name}#{fragment}"


@pytest.mark.parametrize("name", TABLES)
def test_the_generated_tables_are_current(name: str) -> None:
    assert page(name).read_text() == generate(name), "run python -m tests.support.generate_docs"


def test_each_option_is_in_the_help() -> None:
    done = subprocess.run([sys.executable, "-m", "lading", "serve", "--help"], capture_output=True, check=True)
    for setting in SETTINGS:
        assert f"--{setting.option}".encode() in done.stdout
        assert setting.variable.encode() in done.stdout


@each_page
def test_the_commands_are_accepted_as_they_are_documented(path: Path) -> None:
    parser = cli._parser()
    for words in shell_commands(path):
        command = words[words.index("--") + 1 :] if "--" in words else words
        if command[:1] == ["lading"]:
            parser.parse_args(command[1:])  # a command that is not accepted ends in SystemExit


def test_many_commands_are_documented() -> None:
    commands = [words[:2] for path in PAGES for words in shell_commands(path) if words[:1] == ["lading"]]
    assert {words[1] for words in commands} >= {"serve", "robots", "explain-access", "gc", "scrub", "backup", "doctor"}
    assert "functions-framework --target registry --source functions/main.py" in (DOCS / "emulators.md").read_text()


@each_page
def test_the_commands_in_the_text_exist(path: Path) -> None:
    usage = cli._parser().format_help()
    for code in inline_code(path):
        for command in re.findall(r"^lading ([\w-]+)", code):
            assert command.startswith("--") or re.search(rf"^ +{command}\b", usage, re.MULTILINE), code


@each_page
def test_the_options_in_the_text_exist(path: Path) -> None:
    known = {option for parser in parsers() for option in parser._option_string_actions}
    named = {option for code in inline_code(path) for option in re.findall(r"(?<!\S)--[a-z][\w-]+", code)}
    foreign = {
        option
        for code in inline_code(path)
        if re.match(r"(pip|gcloud|docker|kubectl|regctl|cosign|python|ruff|for each in) ", code)
        for option in re.findall(r"(?<!\S)--[a-z][\w-]+", code)
    }
    assert named - foreign - OTHER_OPTIONS <= known


@each_page
def test_the_variables_exist(path: Path) -> None:
    named = set(re.findall(r"\bLADING_[A-Z_]+\b", path.read_text()))
    assert named - OTHER_VARIABLES <= {setting.variable for setting in SETTINGS}


@each_page
def test_the_modules_that_are_run_exist(path: Path) -> None:
    for module in re.findall(r"python -m ([\w.]+)", path.read_text()):
        assert find_spec(module), module


@each_page
def test_the_paths_in_the_text_exist(path: Path) -> None:
    for code in inline_code(path):
        if re.fullmatch(r"(functions|storage|tests|emulators|terraform|docs|\.ci)/[\w./-]*", code):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_password_is_an_argument(path: Path) -> None:
    for line in "".join(shell_blocks(path)).splitlines():
        assert not re.search(r" login .* (-p|--password)[ =]", line), line


@pytest.mark.parametrize("path", OWN_PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pages_are_in_standard_terms(path: Path) -> None:
    prose = re.sub(r"<!-- generated.*?<!-- end -->|```.*?```|`[^`]*`", "", path.read_text(), flags=re.DOTALL)
    assert re.findall(rf"\b(?:{'|'.join(DIALECT)})\b", prose, re.IGNORECASE) == []


def test_every_folder_is_described() -> None:
    described = {cells[0].strip("`").rstrip("/") for cells in rows(DOCS / "architecture.md", "folder")}
    packages = {
        str(path.parent.relative_to(ROOT))
        for place in ("functions", "storage", "emulators")
        for path in (ROOT / place).rglob("__init__.py")
        if path.parent != ROOT / "functions"  # the package of the first release, for one release
    }
    assert described == packages | {"functions", "storage", "tests", "terraform"}


def test_the_modules_that_are_described_exist() -> None:
    for folder, text in rows(DOCS / "architecture.md", "folder"):
        if folder.startswith(("`functions/lading/", "`storage/lading_storage/")):
            for module in set(re.findall(r"`(\w+)`", text)) - {"lading"}:
                assert (ROOT / folder.strip("`") / f"{module}.py").is_file(), module


def test_every_folder_of_tests_proves_something() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    named = set(re.findall(r"`tests/(\w+)/`", (DOCS / "testing.md").read_text()))
    assert named == folders


@pytest.mark.parametrize(
    ("heading", "groups", "others"),
    [
        ("package", ("dependencies", "cloud", "completion", "metrics", "scan", "sigstore", "traces", "yaml"), ()),
        ("package for tests", ("test",), ("cloud", "completion", "metrics", "scan", "sigstore", "traces", "yaml")),
    ],
)
def test_each_dependency_is_explained_with_its_licence(
    heading: str, groups: tuple[str, ...], others: tuple[str, ...]
) -> None:
    extras = {"dependencies": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    names, described_above = (
        {re.split(r"[<>=\[]", requirement)[0] for group in selected for requirement in extras[group]}
        for selected in (groups, others)
    )
    table = rows(DOCS / "dependencies.md", heading)
    assert {cells[0] for cells in table} == names - described_above
    for package, reason, licence in table:
        assert reason
        about = metadata.metadata(package)
        found = [*(about.get_all("License-Expression") or ()), *(about.get_all("License") or ())][0]
        assert found.replace("Apache 2.0", "Apache-2.0") == licence, package


def test_extras_have_the_name_of_the_distribution() -> None:
    """`lading` on PyPI is another project: an extra of it would install that."""
    assert PROJECT["name"] == "lading-registry"
    wrong = [
        f"{path.relative_to(ROOT)}: {line}"
        for suffix in ("md", "py", "toml", "tf", "txt", "yaml", "yml")
        for path in ROOT.rglob(f"*.{suffix}")
        if not any(part.startswith((".git", ".venv")) or part == "build" for part in path.relative_to(ROOT).parts[:-1])
        for line in path.read_text().splitlines()
        if re.search(r"(?<![\w.-])lading\[[a-z]", line)
    ]
    assert wrong == []
    assert (DOCS / "emulators.md").read_text().count("lading-registry[cloud]") == 1


def test_the_old_distribution_is_uninstalled_before_the_new_one_is_installed() -> None:
    block = next(block for block in shell_blocks(DOCS / "operations-on-premises.md") if "uninstall" in block)
    assert [shlex.split(line) for line in block.splitlines()] == [
        ["pip", "uninstall", "--yes", "lading"],
        ["pip", "install", "."],
    ]


def test_the_settings_of_the_module_that_are_named_exist() -> None:
    variables = set(re.findall(r'^variable "(\w+)"', (ROOT / "terraform" / "variables.tf").read_text(), re.MULTILINE))
    named = set(re.findall(r"`(\w+_\w+)(?: = [^`]*)?`", GOOGLE)) | {"domain", "armor", "grace", "http2"}
    assert named <= variables
    assert {"point_in_time_recovery", "backup_retention_days", "soft_delete_days", "min_instances"} <= named


def test_the_checks_that_are_named_exist() -> None:
    host = HostChecks("http://localhost", None, "a")
    checks = {check.name for check in [*host.checks(), *FrontChecks("http://localhost", "a", host).checks()]}
    named = {"version", "token", "rights", "lengths", "large", "cut-off"}
    assert named <= checks
    assert all(f"`{name}`" in GOOGLE for name in named)


def test_what_to_look_at_first_are_ten_points() -> None:
    points = re.findall(r"^(\d+)\. ", GOOGLE.split("## What to look at first")[1], re.MULTILINE)
    assert points == [str(number) for number in range(1, 11)]
