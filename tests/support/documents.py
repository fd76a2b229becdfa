"""The documents of the repository, and what tests read from them: pages, commands, tables, headings, links."""

import re
import shlex
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"

PAGES: Final = (
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "terraform" / "README.md",
    *sorted(DOCS.rglob("*.md")),
)
"""The pages that describe the product as it is now. CHANGELOG.md describes the past as well."""

SHELL: Final = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCED: Final = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def shell_blocks(page: Path) -> list[str]:
    """Return the text of each shell block of a page."""
    return SHELL.findall(page.read_text())


def shell_commands(page: Path) -> list[list[str]]:
    """Return the words of each simple command in the shell blocks of a page, without variables before it."""
    commands: list[list[str]] = []
    for line in "".join(shell_blocks(page)).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        for is_operator, words in groupby(lexer, key=lambda word: word in ("|", "&&", ">")):
            if not is_operator:
                commands.append(list(dropwhile(re.compile(r"[A-Z_]+=").match, words)))
    return commands


def inline_code(page: Path) -> list[str]:
    """Return each inline code of a page, on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", page.read_text()))]


def rows(page: Path, heading: str) -> list[list[str]]:
    r"""Return the cells of the table of a page whose first heading is `heading`; `\|` is a bar within a cell."""
    table = page.read_text().split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the path and the fragment of each link of a page that leads into the repository."""
    targets = re.findall(r"\]\(([^):]+)\)", FENCED.sub("", page.read_text()))
    found = []
    for target in targets:
        path, _, fragment = target.partition("#")
        found.append(((page.parent / path).resolve() if path else page, fragment))
    return found


def anchors(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
