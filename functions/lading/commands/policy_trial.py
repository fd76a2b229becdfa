"""`lading policy test`: what a file of policies would decide about images, before it is applied."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lading.commands import exit_status
from lading.commands.options import REGISTRY, CommandError, Commands, add, reference, registry, registry_errors
from lading.commands.output import Column, Printer, add_output_options
from lading.commands.policy_files import read_policies
from lading.commands.source import add_registry_options, open_source, refuse_credentials, refuse_stores
from lading.json_values import parse
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.policies.explained import Explanation

    Try = Callable[[str], Explanation]
    """Returns what the policies would decide about a tag or digest."""

MAX_TAGS: Final = 1_000
"""Tags of a repository that are tried."""

DENIED: Final = "denied"


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What one policy would decide about one image.

    reference  as it was asked for: a tag or a digest of the repository
    digest     of the image, which may be one of an index
    outcome    allowed, denied, audited or exempted
    reasons    why it does not pass
    """

    repository: str
    reference: str
    digest: str
    policy: str
    mode: str
    outcome: str
    reasons: tuple[str, ...]


COLUMNS: Final[tuple[Column[TrialRow], ...]] = (
    Column("REFERENCE", lambda row: row.reference),
    Column("IMAGE", lambda row: row.digest),
    Column("POLICY", lambda row: row.policy),
    Column("DECISION", lambda row: row.outcome),
    Column("WHY", lambda row: "; ".join(row.reasons)),
)


def add_to(group: Commands) -> None:
    """Add the command to the group `policy`."""
    command = add(group, "test", "show what a file of policies would decide, before it is applied", _test, REGISTRY)
    command.add_argument("file", metavar="FILE", help="policies in TOML, JSON or YAML")
    command.add_argument("reference", metavar="REPOSITORY[:TAG|@DIGEST]", help="an image, or all tags of a repository")
    command.add_argument("--as", dest="principal", metavar="PRINCIPAL", default="", help="for a pull by this caller")
    add_registry_options(command)
    add_output_options(command, TrialRow)


def _test(parsed: argparse.Namespace, settings: Settings) -> int:
    target, printer = reference(parsed.reference, parsed.registry), Printer.of(parsed)
    found: list[Explanation] = []
    with registry_errors():
        attempt = _trial(parsed, settings, target.repository)
        named = target.digest or target.tag
        names = [named] if named else _tags(parsed, settings, target.repository)
        printer.table(COLUMNS, (row for name in names for row in _rows(name, attempt(name), found)), batch_size=1)
    denied = sum(each.outcome == DENIED for each in found)
    for note in dict.fromkeys(each.note for each in found if each.note):
        printer.note(note)
    printer.note(f"{counted(denied, 'reference')} of {len(found)} would be refused")
    return exit_status.FAILED if denied else exit_status.OK


def _trial(parsed: argparse.Namespace, settings: Settings, repository: str) -> "Try":
    """Return the function that tries the policies of the file. Raises RegistryError, ClientError, CommandError."""
    if parsed.registry is None:
        from lading.policies.policy_json import policies_of

        refuse_credentials(parsed)
        opened = registry(settings, writes=False)
        opened.become_standby()
        trial, policies = opened.gates.trial, policies_of(read_policies(parsed.file))

        def attempt(name: str) -> "Explanation":
            found = opened.inspection.find_digest(repository, name) if ":" in name else name
            return trial.explain(repository, found, parsed.principal, others=policies)

        return attempt
    return _http_trial(parsed, repository)


def _http_trial(parsed: argparse.Namespace, repository: str) -> "Try":
    """Return the function that lets the registry try the policies. Raises ClientError, CommandError."""
    import json

    from lading.commands.http_listing import below
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    connection = open_connection(parsed)
    path, scope = below(repository, "policy")
    policies = json.loads(read_policies(parsed.file) or "[]")

    def request(name: str) -> "Explanation":
        from lading.registry.policies.explained import Explanation

        query = {"reference": name, "principal": parsed.principal}
        found = connection.request("POST", path, scope, query, policies)
        try:
            return parse(Explanation, found)
        except ValueError as error:
            raise CommandError(f"the response of the registry cannot be used: {error}") from None

    return request


def _tags(parsed: argparse.Namespace, settings: Settings, repository: str) -> Iterator[str]:
    """Yield the tags of a repository. Raises CommandError if there are more than MAX_TAGS."""
    source, last, count = open_source(parsed, settings), "", 0
    while True:
        page = source.tags(repository, last, 100)
        for each in page.items:
            count += 1
            if count > MAX_TAGS:
                raise CommandError(f"{repository} has more than {MAX_TAGS} tags, of which the first were tried")
            yield each.tag
        if not page.next:
            return
        last = page.next


def _rows(name: str, explained: "Explanation", found: "list[Explanation]") -> Iterator[TrialRow]:
    found.append(explained)
    for image in explained.images:
        for each in image.policies:
            reasons = (*([each.exemption] if each.exemption else []), *each.reasons)
            yield TrialRow(explained.repository, name, image.digest, each.policy, each.mode, each.outcome, reasons)
