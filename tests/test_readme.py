"""What README says is so."""

import re
import shlex
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from lading import cli
from lading.settings import SETTINGS
from tests.servers import basic, lading, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is `heading`."""
    table = README.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def test_the_settings_are_those_of_the_program() -> None:
    expected = []
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else ""
        expected.append([f"`--{setting.option} {setting.value}`", f"`{setting.variable}`", default, setting.help])
    assert rows("option") == expected


def test_the_folders_are_there_and_each_is_told_of() -> None:
    told = {cells[0].strip("`").rstrip("/") for cells in rows("folder")}
    there = {
        str(path.parent.relative_to(ROOT))
        for place in ("functions", "storage", "emulators")
        for path in (ROOT / place).rglob("__init__.py")
    }
    assert told == there | {"functions", "storage", "tests", "terraform"}


def test_the_modules_that_are_named_are_there() -> None:
    for folder, text in rows("folder"):
        if folder.startswith(("`functions/lading/", "`storage/lading_storage/")):
            for module in set(re.findall(r"`(\w+)`", text)) - {"lading"}:
                assert (ROOT / folder.strip("`") / f"{module}.py").is_file(), module


def test_each_dependency_is_explained() -> None:
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cloud"]
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in requirements}
    assert {cells[0] for cells in rows("package")} == names


def test_the_commands_exist() -> None:
    usage = subprocess.run([sys.executable, "-m", "lading.cli", "--help"], capture_output=True, text=True, check=True)
    for command in re.findall(r"lading (\w+)", "".join(COMMANDS)):
        assert command in usage.stdout
    assert COMMANDS[1].strip() == "pip install -e '.[test]' && pytest"
    assert "functions-framework --target registry --source functions/main.py" in README


def test_the_commands_with_words_of_their_own_are_as_they_stand_here() -> None:
    shown = re.findall(r"^(?:.*\| )?lading (robots|explain-access)(.*)$", "".join(COMMANDS), re.MULTILINE)
    assert len(shown) == 6
    for command, words in shown:
        arguments = [command, *shlex.split(words)]
        with pytest.raises(SystemExit) as ended:
            cli._parser().parse_args([*arguments, "--help"])
        assert ended.value.code == 0
        cli._parser().parse_args(arguments)


def test_what_login_help_prints_is_what_stands_here() -> None:
    printed = lading(["login-help", "HOST"], ROOT).stdout
    for line in printed.splitlines():
        if line.startswith("  gcloud"):
            assert line.strip() in README


def test_each_option_is_in_the_help() -> None:
    done = subprocess.run([sys.executable, "-m", "lading.cli", "serve", "--help"], capture_output=True, check=True)
    for setting in SETTINGS:
        assert f"--{setting.option}".encode() in done.stdout
        assert setting.variable.encode() in done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment in which README's first command has been run as far as `&&`; answers its folder of programs."""
    install, serve = COMMANDS[0].strip().split(" && ")
    assert (install, serve) == ("pip install .", "lading serve")
    folder = tmp_path_factory.mktemp("newcomer")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "-q", ROOT], check=True, capture_output=True, timeout=600)
    return programs


def test_the_first_command_installs_and_serves(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "lading"), "serve", "--address", "127.0.0.1:{port}"]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": ""}
    with serving(environment, tmp_path / "log", command=command) as server:
        login = re.search(r"docker login \S+ -u (\S+) --password-stdin < (\S+)", server.log.read_text())
        assert login, "the first start prints the line that README tells of"
        assert login[2] == str(tmp_path / "data" / "admin.password")
        server.authorization = basic(login[1], Path(login[2]).read_text().strip())
        assert server.request("GET", "/v2/")[0].status == 200


def test_the_tests_stay_out_of_what_is_installed(installed: Path) -> None:
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    assert {path.name for path in site.iterdir()} & {
        *("lading", "lading_storage", "functions", "storage", "tests", "emulators")
    } == {"lading", "lading_storage"}
