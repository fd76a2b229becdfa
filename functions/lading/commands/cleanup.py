"""`lading cleanup plan` and `apply`: what the clean-up policies keep and delete, why, and what that frees."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    add,
    add_group,
    add_yes,
    confirm,
    format_size,
    refuse_standby,
    registry,
)
from lading.commands.progress import CountedLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.cleanup import CleanupContext, Plan
    from lading.jobs.usage import SizeCalculator
    from lading.registry.cleanup.policies import Policy
    from lading.registry.registry import Registry
    from lading_storage.records.jobs import InUseReport

PAGE_SIZE: Final = 1_000


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "cleanup", "what the clean-up policies keep and delete")
    options = (*REGISTRY, "cleanup")
    planning = add(group, "plan", "say for each manifest whether it is kept or deleted, and why", _plan, options)
    planning.add_argument("repositories", metavar="REPOSITORY", nargs="*", help="globs; all repositories without any")
    planning.add_argument("--json", action="store_true", help="a line of JSON for each manifest, as `apply` takes it")
    applying = add(group, "apply", "delete what is to go, so that it can be restored", _apply, options)
    applying.add_argument(
        "plan", metavar="PLAN", nargs="?", help="a plan as JSON, - for standard input: nothing else goes"
    )
    for parser in (planning, applying):
        parser.add_argument("--running", metavar="FILE", help="digests and references that are kept, a line each")
    add_yes(applying)


def _plan(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs import cleanup
    from lading.jobs.shared_blobs import SharedBlobs
    from lading.jobs.usage import SizeCalculator

    store, everywhere, progress = registry(settings, writes=False), SharedBlobs(), CountedLine()
    rules = cleanup_context(settings, store, parsed.running)
    for name in [] if parsed.repositories else names_of(store):
        everywhere.add(store.inventory.blob_sizes(name))
        progress.count("shared blobs", name)
    for name in _chosen(store, parsed.repositories):
        made = cleanup.plan(store, name, rules)
        going = {blob for digest in made.policy_by_digest for blob in made.graph.nodes[digest].blobs}
        shared = store.inventory.shared_blobs(going) if parsed.repositories else everywhere.shared_among(going)
        holdings = SizeCalculator(made.graph, store.inventory.blob_sizes(name) if going else {}, shared)
        progress.clear()
        for row in _rows(made, holdings):
            print(json.dumps(row) if parsed.json else _format_row(row))
        if not parsed.json:
            kept, freed = (
                len(made.decisions) - len(made.policy_by_digest),
                format_size(holdings.exclusive(made.policy_by_digest)),
            )
            tags = f", deletes {len(made.tag_deletions)} tags alone" if made.tag_deletions else ""
            print(f"{name}\tkeeps {kept}, deletes {len(made.policy_by_digest)}, frees {freed}{tags}")


def _apply(parsed: argparse.Namespace, settings: Settings) -> None:
    """Apply with the reserve of the disk: a full one takes no deletion without it."""
    from lading.jobs.gc.reserve import released

    refuse_standby(settings)
    policies_of(settings, needed=False)
    planned = _read_plan(parsed.plan) if parsed.plan else None
    what = "what the policies delete now" if planned is None else f"what {_describe_plan(planned)}"
    confirm(parsed, f"Delete {what}? It can be restored with `lading undelete`.")
    with released(settings.metadata):
        _apply_now(parsed, settings, planned)


def _describe_plan(planned: Mapping[str, set[str]]) -> str:
    return f"the plan names ({sum(map(len, planned.values()))} entries in {len(planned)} repositories)"


def _apply_now(parsed: argparse.Namespace, settings: Settings, planned: Mapping[str, set[str]] | None) -> None:
    from lading.jobs import cleanup

    store = registry(settings)
    rules = cleanup_context(settings, store, parsed.running)
    for name in _chosen(store, []) if planned is None else sorted(planned):
        made = cleanup.plan(store, name, rules)
        report = cleanup.apply(store, made, None if planned is None else planned[name])
        more = f", {report.changed} left alone: changed, or not in the plan" if report.changed else ""
        tags = f", {report.tags_by_policy.total()} tags deleted alone" if report.tags_by_policy else ""
        if report.deleted or tags or more:
            print(f"{name}\tdeleted {report.deleted}, kept {report.kept}{tags}{more}")


def cleanup_context(
    settings: Settings, store: "Registry", file: str | None = None, needed: bool = True
) -> "CleanupContext":
    """What clean-up goes by now. Raises CommandError, SettingsError."""
    from lading.jobs.cleanup import CleanupContext

    policies = policies_of(settings, needed)
    running = [*store.in_use_reports.all(), *_running(file)]
    return CleanupContext(policies, running, datetime.now(UTC))


def policies_of(settings: Settings, needed: bool = True) -> "tuple[Policy, ...]":
    """Return the policies of the settings. Raises CommandError where some are needed, SettingsError."""
    from lading.composition import open_policies

    policies = open_policies(settings)
    if needed and not policies:
        raise CommandError("there are no policies: say --cleanup FILE")
    return policies


def _running(file: str | None) -> "Iterable[InUseReport]":
    from lading.registry.cleanup.in_use import InUseReportError, normalize_references
    from lading_storage.records.jobs import InUseReport

    if file is None:
        return []
    try:
        references = normalize_references(Path(file).read_text().splitlines())
    except OSError as error:
        raise CommandError(f"--running {file}: {error.strerror}") from None
    except (UnicodeDecodeError, InUseReportError) as error:
        raise CommandError(f"--running: {error}") from None
    return [InUseReport(id=file, references=references, reported=datetime.now(UTC))]


def names_of(store: "Registry") -> Iterator[str]:
    """The names of all repositories."""
    from lading.registry.pagination import check_advance

    after = ""
    while True:
        page = store.repositories(after, PAGE_SIZE)
        yield from page.items
        if not page.next:
            return
        check_advance(after, [page.next])
        after = page.next


def has_repository(store: "Registry", name: str) -> bool:
    """Return whether there is a repository of a name."""
    from lading_storage.records.core import Key, Repository

    key = Key(Repository, name)
    record = store.metadata.read([key])[key]
    return record is not None and not record.deleted


def _chosen(store: "Registry", globs: list[str]) -> Iterator[str]:
    from lading.registry.globs import matches

    return (name for name in names_of(store) if not globs or any(matches(glob, name) for glob in globs))


def _rows(made: "Plan", holdings: "SizeCalculator") -> Iterator[dict[str, Any]]:
    """A plan's rows: `frees` are bytes that nothing else holds, 0 where it is kept; `untags`, tags that go alone."""
    for verdict in made.decisions:
        yield {
            "repository": made.repository,
            "digest": verdict.digest,
            "tags": list(made.graph.nodes[verdict.digest].tags),
            "kept": verdict.kept,
            "rule": verdict.policy,
            "why": verdict.reason,
            "frees": 0 if verdict.kept else holdings.exclusive([verdict.digest]),
            "untags": dict(verdict.tags),
        }


def _format_row(row: Mapping[str, Any]) -> str:
    word, tags = "keep" if row["kept"] else "delete", ",".join(row["tags"]) or "-"
    frees = "" if row["kept"] else f"\tfrees {format_size(row['frees'])}"
    frees += "".join(f"\tdeletes tag {tag}: policy '{policy}'" for tag, policy in row["untags"].items())
    return f"{word}\t{row['repository']}@{row['digest']}\t{tags}\t{row['why']}{frees}"


def _read_plan(file: str) -> Mapping[str, set[str]]:
    """What a plan deletes, by repository, as jobs.cleanup.apply takes it. Raises CommandError."""
    from lading.jobs.cleanup import tag_reference
    from lading.registry.names import is_repository
    from lading_storage.digests import is_digest

    planned: dict[str, set[str]] = defaultdict(set)
    try:
        with sys.stdin if file == "-" else Path(file).open() as lines:
            for row in _parse_lines(lines):
                if not is_repository(row["repository"]) or not is_digest(row["digest"]):
                    raise ValueError(f"{row['repository']}@{row['digest']}")
                if row["kept"] is False:
                    planned[row["repository"]].add(row["digest"])
                # A plan of an earlier release tells none.
                for tag in row.get("untags", {}):
                    planned[row["repository"]].add(tag_reference(tag, row["digest"]))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{file} is not a plan, as `lading cleanup plan --json` prints it: {error!r}") from None
    return planned


def _parse_lines(lines: IO[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in lines if line.strip())
