"""Patterns of repository names."""

import fnmatch
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.auth.patterns import ExactNames, NameRange, Patterns, is_pattern, matches, without_covered
from lading.registry import globs

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
    assert matches(without_covered(patterns), name) == matches(patterns, name)


@given(st.lists(TEXTS, max_size=6), NAMES)
@example(["a*", "a/*", "*b"], "ab")
def test_prepared_patterns_match_the_same(patterns: list[str], name: str) -> None:
    assert Patterns(patterns).matches(name) == matches(patterns, name)


@given(st.lists(TEXTS, max_size=6), NAMES, NAMES)
def test_the_parts_of_a_listing_miss_no_name_that_matches(patterns: list[str], after: str, name: str) -> None:
    parts = list(Patterns(patterns).parts(after))

    if name > after and matches(patterns, name):
        assert sum(is_in(name, part) for part in parts) == 1


def is_in(name: str, part: ExactNames | NameRange) -> bool:
    if isinstance(part, ExactNames):
        return name in part.names
    return name > part.after and name.startswith(part.prefix)


@pytest.mark.parametrize(
    ("patterns", "after", "parts"),
    [
        ([], "", []),
        (["*"], "a", [NameRange("", "a", True)]),
        (["team/*"], "", [NameRange("team/", "team.~", True)]),
        (["team/*"], "team/b", [NameRange("team/", "team/b", True)]),
        (["team/*"], "teams", []),
        (["team/*"], "team/~", []),
        (["zoo", "b", "a"], "a", [ExactNames(["b", "zoo"])]),
        (["zoo"], "zoo", []),
        (["b/*", "m/*", "c"], "b", [NameRange("b/", "b.~", True), ExactNames(["c"]), NameRange("m/", "m.~", True)]),
        (["*/app", "m/*", "a"], "c", [NameRange("", "c", False)]),
        (["a/b*", "a/*c", "a/d"], "", [NameRange("a/", "a.~", False)]),
    ],
)
def test_a_listing_looks_only_where_names_can_match(
    patterns: list[str], after: str, parts: list[ExactNames | NameRange]
) -> None:
    assert list(Patterns(patterns).parts(after)) == parts


def test_what_is_superfluous_goes() -> None:
    given = ["team/*", "team/**", "team/web/*", "team/web", "team", "te*/w*", "zoo", "a*b*", "a*b*c"]

    assert without_covered(given) == ("a*b*", "te*/w*", "team", "team/*", "zoo")


def test_of_many_patterns_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [f"team-{number}" for number in range(500)]
    many = [pattern for folder in folders for pattern in (folder, f"{folder}/*", f"{folder}/web")]
    compared = []
    really = globs.matches

    def counted(glob: str, text: str) -> bool:
        compared.append(glob)
        return really(glob, text)

    monkeypatch.setattr(globs, "matches", counted)

    assert len(without_covered(many)) == 1000
    assert len(compared) <= len(many)


def test_of_many_patterns_a_name_is_compared_with_those_that_begin_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing asks for each name, and a mount without a source for each repository that has the blob."""
    compared = []
    really = globs.matches

    def counted(glob: str, text: str) -> bool:
        compared.append(glob)
        return really(glob, text)

    monkeypatch.setattr(globs, "matches", counted)
    prepared = Patterns([f"team-{number}/*" for number in range(1000)] + [f"r{number}" for number in range(1000)])

    assert [prepared.matches(name) for name in ("team-7/app", "r7", "team-7", "other")] == [True, True, False, False]
    assert compared == ["team-7/*"]


def test_no_pattern_takes_long() -> None:
    assert not matches(["*a" * 120 + "c"], "a" * 255 + "b")


def test_patterns_have_what_names_have_and_stars() -> None:
    assert is_pattern("team-a/*")
    for text in ("", "Team", "a b", "a\n", "é", "x" * 256, f"{random.random()}?"):
        assert not is_pattern(text)
