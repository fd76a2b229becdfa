"""Patterns of repository names."""

import fnmatch
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.auth.patterns import covered, is_pattern, matches, onward
from functions.registry import globs

TEXTS = st.text(alphabet="ab/*", max_size=12)
NAMES = st.text(alphabet="ab/", max_size=12)


@pytest.mark.parametrize(
    ("pattern", "name", "same"),
    [
        ("team/app", "team/app", True),
        ("team/app", "team/app2", False),
        ("team/*", "team/a/b", True),
        ("team/*", "team", False),
        ("team*", "team", True),
        ("*", "anything/at/all", True),
        ("*/app", "a/b/app", True),
        ("a*a", "a", False),
        ("a*b*c", "axxbyyc", True),
        ("team.a/*", "teamXa/b", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, same: bool) -> None:
    assert matches([pattern], name) == same


@given(TEXTS, NAMES)
def test_it_is_what_shells_do(pattern: str, name: str) -> None:
    assert matches([pattern], name) == fnmatch.fnmatchcase(name, pattern)


@given(st.lists(TEXTS, max_size=6), NAMES)
@example(["a*", "a**"], "ab")
def test_what_is_superfluous_changes_nothing(patterns: list[str], name: str) -> None:
    assert matches(covered(patterns), name) == matches(patterns, name)


@given(st.lists(TEXTS, max_size=6), NAMES, NAMES)
def test_looking_on_misses_no_name_that_matches(patterns: list[str], after: str, name: str) -> None:
    place = onward(patterns, after)

    if place is not None:
        assert place >= after
    if name > after and matches(patterns, name):
        assert place is not None
        assert place < name or place == after


@pytest.mark.parametrize(
    ("patterns", "after", "place"),
    [
        ([], "", None),
        (["*"], "a", "a"),
        (["team/*"], "", "team"),
        (["team/*"], "team/b", "team/b"),
        (["team/*"], "teams", None),
        (["zoo"], "", "zo"),
        (["zoo"], "zoo", None),
        (["b/*", "m/*"], "c", "m"),
        (["*/app", "m/*"], "c", "c"),
    ],
)
def test_looking_on_goes_past_what_cannot_match(patterns: list[str], after: str, place: str | None) -> None:
    assert onward(patterns, after) == place


def test_what_is_superfluous_goes() -> None:
    given = ["team/*", "team/**", "team/web/*", "team/web", "team", "te*/w*", "zoo", "a*b*", "a*b*c"]

    assert covered(given) == ("a*b*", "te*/w*", "team", "team/*", "zoo")


def test_of_many_patterns_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [f"team-{number}" for number in range(500)]
    many = [pattern for folder in folders for pattern in (folder, f"{folder}/*", f"{folder}/web")]
    compared = []
    really = globs.matches

    def counted(glob: str, text: str) -> bool:
        compared.append(glob)
        return really(glob, text)

    monkeypatch.setattr(globs, "matches", counted)

    assert len(covered(many)) == 1000
    assert len(compared) <= len(many)


def test_no_pattern_takes_long() -> None:
    assert not matches(["*a" * 120 + "c"], "a" * 255 + "b")


def test_patterns_have_what_names_have_and_stars() -> None:
    assert is_pattern("team-a/*")
    for text in ("", "Team", "a b", "a\n", "é", "x" * 256, f"{random.random()}?"):
        assert not is_pattern(text)
