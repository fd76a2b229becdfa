"""README is a short front page, and its first commands work for a new user."""

import re
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.documents import DOCS, README, ROOT, shell_blocks
from tests.support.server_process import basic, run_lading, serving

BLOCKS = shell_blocks(README)
SEARCHED = ("authentication", "cache", "anonymous", "retention", "restart", "reverse proxy", "webhook")
"""Words that people search a README for."""


def test_readme_is_a_front_page() -> None:
    assert len(README.read_text().splitlines()) <= 130


@pytest.mark.parametrize("word", SEARCHED)
def test_readme_has_the_words_that_people_search_for(word: str) -> None:
    assert word in " ".join(README.read_text().lower().split())


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert f"{command}\n" in BLOCKS
    expression = "pip install -e '.\\[test\\]' && pytest"
    assert f'grep -m1 -x "{expression}" README.md' in (ROOT / ".ci" / "run").read_text()


def test_readme_says_how_long_the_tests_take() -> None:
    assert re.search(r"\d+ minutes", README.read_text().split("## Test\n")[1].split("\n## ")[0])


@pytest.mark.parametrize("page", [README, DOCS / "access.md"], ids=lambda page: page.name)
def test_the_lines_that_login_help_prints_are_documented(page: Path) -> None:
    printed = run_lading(["login-help", "HOST"], ROOT).stdout
    lines = [line.strip() for line in printed.splitlines() if line.startswith("  gcloud")]
    expected = lines if page != README else [line for line in lines if "|" not in line]
    assert len(expected) >= 2
    assert [line for line in expected if line not in page.read_text()] == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a new environment in which README's first command ran as far as `&&`."""
    install, serve = BLOCKS[0].strip().split(" && ")
    assert (install, serve) == ("pip install .", "lading serve")
    folder = tmp_path_factory.mktemp("newcomer")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "-q", ROOT], check=True, capture_output=True, timeout=600)
    return programs


@pytest.mark.parametrize("entry", [["lading"], ["python", "-m", "lading"]], ids=" ".join)
def test_the_first_command_installs_and_serves(installed: Path, tmp_path: Path, entry: list[str]) -> None:
    assert f"{' '.join(entry)} serve" in README.read_text()
    program, *words = entry
    command = [str(installed / program), *words, "serve", "--address", "127.0.0.1:{port}"]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": ""}
    with serving(environment, tmp_path / "log", command=command) as server:
        login = re.search(r"docker login \S+ -u (\S+) --password-stdin < (\S+)", server.log.read_text())
        assert login, "the first start prints the line that README describes"
        assert login[2] == str(tmp_path / "data" / "admin.password")
        server.authorization = basic(login[1], Path(login[2]).read_text().strip())
        assert server.request("GET", "/v2/")[0].status == 200


def test_the_tests_stay_out_of_what_is_installed(installed: Path) -> None:
    site = next((installed.parent / "lib").glob("python*/site-packages"))
    assert {path.name for path in site.iterdir()} & {
        *("lading", "lading_storage", "functions", "storage", "tests", "emulators")
    } == {"lading", "lading_storage"}
