"""All commands of lading."""

import argparse
from collections.abc import Iterator


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    """The full names of all commands."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield name
    for group in groups:
        for word, below in group.choices.items():
            yield from commands(below, f"{name} {word}".strip())
