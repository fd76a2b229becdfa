"""Write the generated tables of docs/: `python -m tests.support.generate_docs`.

A generated table stands between the lines `<!-- generated: NAME -->` and `<!-- end -->` of a page. Its rows are the
declarations of the code: the settings of lading.settings, the errors of lading.registry.errors, the commands of
lading.commands with the fields that they print, the metrics of lading.metrics, and the fields of lading.policies.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from lading import cli
from lading.commands.options import Parser
from lading.metrics.metric_rows import METRICS
from lading.policies.field_kinds import Choice, Field, Several, Table
from lading.policies.policy_fields import POLICY
from lading.registry import errors
from lading.registry.errors import ErrorDescriptor
from lading.settings import SETTINGS

ROOT: Final = Path(__file__).parents[2]


def settings_table() -> str:
    """Return the table of all settings, in the order of their declaration."""
    rows = (
        (
            f"`--{setting.option} {setting.value}`",
            f"`{setting.variable}`",
            f"`{setting.section}.{setting.key}`",
            f"`{setting.default}`" if setting.default else "",
            setting.help,
        )
        for setting in SETTINGS
    )
    return _table(("option", "variable", "lading.toml", "default", "description"), rows)


def errors_table() -> str:
    """Return the table of all errors, by code and status."""
    descriptors = [value for value in vars(errors).values() if isinstance(value, ErrorDescriptor)]
    rows = ((f"`{each.code}`", str(each.status), each.message) for each in sorted(descriptors))
    return _table(("code", "status", "message"), rows)


def commands_table() -> str:
    """Return the table of all commands, with the fields of their JSON."""
    rows = (
        (f"`lading {name}`", parser.description or "", "; ".join(map(_fields, parser.rows)))
        for name, parser in _commands(cli._parser())
    )
    return _table(("command", "description", "fields of `--json`"), rows)


def _commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, Parser]]:
    """Yield the commands with their full names, without aliases."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups and isinstance(parser, Parser):
        yield name, parser
    for group in groups:
        for choice in group._choices_actions:
            word = choice.dest.partition(" ")[0]
            yield from _commands(group.choices[word], f"{name} {word}".strip())


def _fields(row: type) -> str:
    return ", ".join(f"`{each.name}`" for each in dataclasses.fields(row))


def metrics_table() -> str:
    """Return the table of all metrics."""
    rows = (
        (f"`{each.name}`", each.kind.value, ", ".join(f"`{label}`" for label in each.labels), each.help)
        for each in METRICS
    )
    return _table(("metric", "type", "labels", "what"), rows)


def policies_table() -> str:
    """Return the table of all fields of a policy."""
    return _table(("field", "value", "meaning"), _field_rows(POLICY.fields, ""))


def _field_rows(fields: Iterable[Field], place: str) -> Iterator[tuple[str, str, str]]:
    for field in fields:
        kind, count = (field.kind.kind, "list of ") if isinstance(field.kind, Several) else (field.kind, "")
        path = f"{place}{field.key}"
        words = (
            ", ".join(f"`{word}`" for word in kind.words) if isinstance(kind, Choice) else type(kind).__name__.lower()
        )
        yield f"`{path}`", f"{count}{words}{', required' if field.is_required else ''}", field.about
        # The tables of anyOf have fields that are there already.
        if isinstance(kind, Table) and field.key != "anyOf":
            yield from _field_rows(kind.fields, f"{path}{'[]' if count else ''}.")


TABLES: Final[dict[str, Callable[[], str]]] = {
    "settings": settings_table,
    "errors": errors_table,
    "commands": commands_table,
    "metrics": metrics_table,
    "policies": policies_table,
}
"""The generated tables by name. The page of a table is docs/NAME.md."""


def page(name: str) -> Path:
    """Return the path of the page that has the table `name`."""
    return ROOT / "docs" / f"{name}.md"


def generate(name: str) -> str:
    """Return the text of a page with its table as the code declares it.

    Raises:
        ValueError: the page does not have the two marker lines exactly once.
    """
    pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->\n)"
    table = TABLES[name]()
    text, count = re.subn(pattern, lambda match: match[1] + table + match[2], page(name).read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{page(name)} needs the lines `<!-- generated: {name} -->` and `<!-- end -->` once")
    return text


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headings = tuple(headings)
    lines = [_row(headings), "|" + "---|" * len(headings), *map(_row, rows)]
    return "\n" + "\n".join(lines) + "\n\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def main() -> int:
    """Rewrite the pages; return the exit status."""
    for name in TABLES:
        page(name).write_text(generate(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
