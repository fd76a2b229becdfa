"""Whether what was seen of a tag can have happened one operation after the other (linearizability).

The search is Wing's and Gong's, with Lowe's memory of what was tried: take any operation that no other one had to come
before, see whether its answer fits what the tag names, and go on; where nothing fits, go back. A tag names a digest or
nothing. A client without a response may have done what it asked, at any time since, or never.

https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/paper.pdf
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

NO_END = math.inf


class ObservedOperation(NamedTuple):
    """One operation, as its client saw it.

    began, ended  when it was called and answered, by one clock; NEVER where no answer came
    action        what was asked
    digest        what was put; what a get answered, None for a 404
    found         of a delete: whether there was something to delete; None where no answer came
    """

    began: float
    ended: float
    action: Literal["put", "get", "delete"]
    digest: str | None = None
    found: bool | None = None

    def after(self, named: str | None) -> tuple[bool, str | None]:
        """Whether the answer fits a tag that names `named`, and what the tag names then."""
        match self.action:
            case "put":
                return True, self.digest
            case "get":
                return self.digest == named, named
            case "delete":
                return self.found in (None, named is not None), None


class SearchState(NamedTuple):
    """How far a search has come: all answered operations before `first` are taken, and those of a mask behind it.

    taken    bit i: the answered operation `first` + i
    guessed  bit i: the unanswered operation i
    """

    first: int
    taken: int
    guessed: int
    named: str | None


def is_linearizable(seen: Iterable[ObservedOperation]) -> bool:
    """Whether some order of the operations explains all answers; before all of them the tag names nothing."""
    in_order = sorted(seen, key=lambda each: each.began)
    answered = [each for each in in_order if each.ended != NO_END]
    # What was asked and not answered tells nothing.
    unanswered = [each for each in in_order if each.ended == NO_END and each.action != "get"]
    waiting = [SearchState(0, 0, 0, None)]
    tried = set(waiting)
    while waiting:
        state = waiting.pop()
        if state.first == len(answered):
            return True
        for following in _steps(state, answered, unanswered):
            if following not in tried:
                tried.add(following)
                waiting.append(following)
    return False


def _steps(
    state: SearchState, answered: Sequence[ObservedOperation], unanswered: Sequence[ObservedOperation]
) -> Iterator[SearchState]:
    """The states after each operation that may come next; the likely ones last, for the caller that pops them."""
    free, until = _free(state, answered)
    outcomes = {number: answered[number].after(state.named) for number in free}
    for number, (fits, named) in outcomes.items():
        if fits and named == state.named:
            # It changes nothing, so whatever explains the others explains them after it.
            yield _taken(state, number, named)
            return
    for number, each in enumerate(unanswered):
        if each.began <= until and not state.guessed >> number & 1:
            yield state._replace(guessed=state.guessed | 1 << number, named=each.after(state.named)[1])
    for number, (fits, named) in reversed(outcomes.items()):
        if fits:
            yield _taken(state, number, named)


def _taken(state: SearchState, number: int, named: str | None) -> SearchState:
    """The state after an answered operation."""
    first, taken = state.first, state.taken | 1 << (number - state.first)
    while taken & 1:
        first, taken = first + 1, taken >> 1
    return SearchState(first, taken, state.guessed, named)


def _free(state: SearchState, answered: Sequence[ObservedOperation]) -> tuple[list[int], float]:
    """The answered operations that may come next: none ended before they began; and until when one must have begun."""
    free: list[int] = []
    until = NO_END
    for number in range(state.first, len(answered)):
        if answered[number].began > until:
            break
        if not state.taken >> (number - state.first) & 1:
            free.append(number)
            until = min(until, answered[number].ended)
    return [number for number in free if answered[number].began <= until], until
