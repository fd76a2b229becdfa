"""A cache of Google's replies about managed folders, for some seconds."""

from collections.abc import Callable
from dataclasses import dataclass

from functions.auth.access import Action
from functions.auth.asker import Asker
from functions.auth.cache import Answers


@dataclass(frozen=True, slots=True)
class FolderAnswer:
    """What a caller may do in a folder.

    exists   false where there is no such folder, for this caller
    actions  that are granted on it or above
    """

    exists: bool
    actions: frozenset[Action]


class FolderAnswers:
    """Answers by folder. Any thread may use it.

    What is granted counts for the very token that asked. Where nothing is, that counts for all tokens of the principal:
    it cannot ask once more by fetching another token.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        # Short for both: decisions that allow something are remembered for longer where they are made.
        self._granted: Answers[tuple[bytes, str], FolderAnswer] = Answers(lambda _: False)
        self._denied: Answers[tuple[str, str], FolderAnswer] = Answers(lambda _: False)

    def get(self, asker: Asker, folder: str, ask: Callable[[], FolderAnswer]) -> FolderAnswer:
        """Return the answer: remembered, or what `ask` returns."""
        known = self._granted.peek((asker.hashed, folder)) or self._denied.peek((asker.principal, folder))
        if known is not None:
            return known
        answer = ask()
        if answer.actions:
            return self._granted.put((asker.hashed, folder), answer)
        return self._denied.put((asker.principal, folder), answer)
