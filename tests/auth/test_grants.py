"""Grants by who they are for: what they allow, and what it costs to find out."""

from hypothesis import given
from hypothesis import strategies as st

from lading.auth import patterns
from lading.auth.access import ON_REPOSITORIES, Action
from lading.auth.access_files import Grant
from lading.auth.grants import Grants, Rights, parse

WHO = st.sampled_from(["ann", "ben", "*", "eve@example.com"])
REPOSITORIES = st.sampled_from(["a", "a/b", "a/*", "*", "*b", "c"])
LINES = st.lists(st.tuples(WHO, REPOSITORIES, st.frozensets(st.sampled_from(ON_REPOSITORIES), min_size=1)), max_size=8)


def first_of(lines: list[Grant], names: set[str], action: Action, repository: str) -> Grant | None:
    """Return the first line that allows it, found by looking at all of them."""
    for line in lines:
        if line.principal in names and action in line.may and patterns.matches([line.repositories], repository):
            return line
    return None


@given(LINES, WHO, st.booleans(), st.sampled_from(ON_REPOSITORIES), st.sampled_from(["a", "a/b", "b", "c", "d"]))
def test_the_first_line_that_allows_it_is_found(
    rows: list[tuple[str, str, frozenset[Action]]], who: str, is_user: bool, action: Action, repository: str
) -> None:
    lines = [Grant(number, *row) for number, row in enumerate(rows, start=1)]
    names = {who, "*"} if is_user else {who}

    rights = Grants(lines).rights_of(who, is_user)

    assert rights.grant_for(action, repository) == first_of(lines, names, action, repository)
    assert list(rights.readable_patterns) == [
        line.repositories for line in lines if line.principal in names and Action.PULL in line.may
    ]


def test_rights_are_prepared_once_for_all_whom_no_grant_names() -> None:
    grants = parse("ann a/* pull\n* b pull\n")

    assert grants.rights_of("ann", True) is grants.rights_of("ann", True)
    assert grants.rights_of("invented-1", False) is grants.rights_of("invented-2", False)
    assert grants.rights_of("ben", True) is grants.rights_of("eve", True)
    assert list(grants.rights_of("ann", True).readable_patterns) == ["a/*", "b"]
    assert list(grants.rights_of("ann", False).readable_patterns) == ["a/*"]


def test_a_name_is_looked_up_among_thousands_of_grants_without_a_look_at_each() -> None:
    class Counted(frozenset[Action]):
        """Actions of a grant that count how often they are looked at."""

        looks = 0

        def __contains__(self, action: object) -> bool:
            Counted.looks += 1
            return super().__contains__(action)

    rights = Rights(Grant(number, "ann", f"team/{number}", Counted([Action.PULL])) for number in range(5_000))

    assert rights.grant_for(Action.PULL, "team/4999")
    assert not rights.grant_for(Action.PULL, "team/5000")
    assert Counted.looks == 1
