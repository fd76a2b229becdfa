"""Names and prose keep to the field's terms (CONTRIBUTING.md): a reader can search for what they know."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = sorted(
    path for name in ("functions", "storage", "emulators", "terraform") for path in (ROOT / name).rglob("*.py")
)
TESTS: Final = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
DOCUMENTS: Final = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "terraform").rglob("*.tf")]

NAMES: Final = {
    "desk": "leader",
    "door": "authenticator",
    "stranger": "anonymous client",
    "mend": "repair, remedy",
    "patience": "timeout",
    "behind": "after, cursor",
    "settle": "retry_on_conflict",
    "condemned": "marked",
    "bury": "tombstone",
    "most": "MAX_… or maximum",
    "haste": "MIN_…_INTERVAL",
    "crowd": "…_THRESHOLD",
    "whoever": "the caller, the client",
    "nobody": "no client, no caller",
    "somebody": "a client, a caller",
}
"""Words that no name contains, and what the field says instead."""

PROSE: Final = {
    r"whoever": "the client, the caller",
    r"strangers?": "anonymous or unauthenticated client",
    r"mends?": "fix, repair",
    r"nobody": "no client, no user",
    r"somebody": "a client, a user",
    r"lets? in": "authenticate, authorize",
    r"answers (a|an|the|with|how|whether|what)": "return, respond with",
    r"at the desk": "as the leader",
    r"patience": "timeout",
}
"""Patterns that no comment, docstring or document contains, and what the field says instead."""


def words_of(name: str) -> set[str]:
    """Split an identifier, in snake case or camel case, into words in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and name of what a module defines: functions, classes, attributes, parameters, variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def prose_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of the comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from enumerate(node.value.value.splitlines(), node.lineno)


def forbidden_in(text: str) -> list[str]:
    return [f"{found[0]} ({use})" for word, use in PROSE.items() if (found := re.search(rf"(?i)\b{word}\b", text))]


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_the_fields(path: Path) -> None:
    wrong = [
        f"{line}: {name} ({NAMES[word]})"
        for line, name in names_in(ast.parse(path.read_text()))
        for word in words_of(name.replace("behind_proxy", "")) & NAMES.keys()
    ]
    assert wrong == []


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_is_the_fields(path: Path) -> None:
    wrong = [f"{line}: {word}" for line, text in prose_of(path.read_text()) for word in forbidden_in(text)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_the_fields(path: Path) -> None:
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [f"{line}: {word}" for line, text in lines for word in forbidden_in(text)] == []


def test_a_forbidden_word_is_found() -> None:
    assert words_of("MOST_ofTheDesk") == {"most", "of", "the", "desk"}
    assert forbidden_in("Whoever asks, answers with a no") != []
    assert forbidden_in("recommends") == []
