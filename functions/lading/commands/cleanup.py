"""`lading cleanup plan` and `apply`: what the clean-up policies keep and delete, why, and the space that this frees."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
    refuse_standby,
    registry,
)
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.progress import CountedLine
from lading.commands.rule_options import refuse_looser
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.cleanup import CleanupContext, Plan
    from lading.jobs.usage import SizeCalculator
    from lading.registry.registry import Registry
    from lading_storage.records.jobs import InUseReport

PAGE_SIZE: Final = 1_000


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Decision about a manifest. `lading cleanup apply` reads these fields, so their names must not change.

    rule    name of the policy that decided
    why     the reason, for people
    frees   bytes that nothing else holds; 0 where the manifest is kept
    untags  tags that are deleted while their manifest is kept, and the policy of each
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    kept: bool
    rule: str
    why: str
    frees: int
    untags: Mapping[str, str]

    @property
    def explanation(self) -> str:
        """The reason, and that of each tag that is deleted alone."""
        return "; ".join([self.why, *(f"deletes tag {tag}: policy '{policy}'" for tag, policy in self.untags.items())])


@dataclass(frozen=True, slots=True)
class AppliedRow:
    """What clean-up did in a repository.

    deleted, kept  manifests
    skipped        manifests and tags that were to be deleted, but have changed or are not in the given plan
    tags           tags that were deleted while their manifests were kept
    """

    repository: str
    deleted: int
    kept: int
    skipped: int
    tags: int


PLAN_COLUMNS: Final[tuple[Column[PlanRow], ...]] = (
    Column("ACTION", lambda row: "keep" if row.kept else "delete"),
    Column("MANIFEST", lambda row: f"{row.repository}@{row.digest}"),
    Column("TAGS", lambda row: row.tags),
    Column("FREES", lambda row: "" if row.kept else format_size(row.frees), right=True),
    Column("WHY", lambda row: row.explanation),
)

APPLIED_COLUMNS: Final[tuple[Column[AppliedRow], ...]] = (
    Column("REPOSITORY", lambda row: row.repository),
    Column("DELETED", lambda row: row.deleted, right=True),
    Column("KEPT", lambda row: row.kept, right=True),
    Column("SKIPPED", lambda row: row.skipped, right=True),
    Column("TAGS DELETED", lambda row: row.tags, right=True),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "cleanup", "plan and apply the clean-up policies")
    options = (*REGISTRY, "cleanup")
    plan = add(group, "plan", "show for each manifest whether it is kept or deleted, and why", _plan, options)
    plan.add_argument("repositories", metavar="REPOSITORY", nargs="*", help="globs; default: all repositories")
    add_output_options(plan, PlanRow)
    apply = add(group, "apply", "delete what the policies do not keep, so that it can be restored", _apply, options)
    apply.add_argument(
        "plan", metavar="PLAN", nargs="?", help="output of `plan --json`, - for standard input: delete nothing else"
    )
    for parser in (plan, apply):
        parser.add_argument("--running", metavar="FILE", help="digests and references to keep, one a line")
    add_yes(apply)
    add_output_options(apply, AppliedRow, wide=False)


def _plan(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs import cleanup
    from lading.jobs.shared_blobs import SharedBlobs
    from lading.jobs.usage import SizeCalculator

    store, printer = registry(settings, writes=False), Printer.of(parsed)
    everywhere, progress = SharedBlobs(), CountedLine()
    context = cleanup_context(settings, store, parsed.running)
    for name in [] if parsed.repositories else names_of(store):
        everywhere.add(store.inventory.blob_sizes(name))
        progress.count("shared blobs", name)
    for name in _chosen(store, parsed.repositories):
        plan = cleanup.plan(store, name, context)
        deleted_blobs = {blob for digest in plan.policy_by_digest for blob in plan.graph.nodes[digest].blobs}
        shared = (
            store.inventory.shared_blobs(deleted_blobs)
            if parsed.repositories
            else everywhere.shared_among(deleted_blobs)
        )
        sizes = SizeCalculator(plan.graph, store.inventory.blob_sizes(name) if deleted_blobs else {}, shared)
        printer.table(PLAN_COLUMNS, _plan_rows(plan, sizes), progress)
        printer.note(_plan_text(plan, sizes))


def _plan_text(plan: "Plan", sizes: "SizeCalculator") -> str:
    kept = len(plan.decisions) - len(plan.policy_by_digest)
    freed = format_size(sizes.exclusive(plan.policy_by_digest))
    tags = f", deletes {counted(len(plan.tag_deletions), 'tag')} alone" if plan.tag_deletions else ""
    return f"{plan.repository}: keeps {kept}, deletes {len(plan.policy_by_digest)}, frees {freed}{tags}"


def _apply(parsed: argparse.Namespace, settings: Settings) -> None:
    """Apply with the reserved disk space released: a full disk takes no deletion without it."""
    from lading.cleanup_setting import open_cleanup_policies
    from lading.jobs.gc.reserve import released

    refuse_standby(settings)
    open_cleanup_policies(settings)
    planned = _read_plan(parsed.plan) if parsed.plan else None
    what = "what the policies delete now" if planned is None else f"what {_describe_plan(planned)}"
    confirm(parsed, f"Delete {what}? It can be restored with `lading undelete`.")
    with released(settings.metadata), CountedLine() as progress:
        rows = _apply_now(registry(settings), settings, parsed.running, planned, progress)
        Printer.of(parsed).table(APPLIED_COLUMNS, rows, progress)


def _describe_plan(planned: Mapping[str, set[str]]) -> str:
    entries = counted(sum(map(len, planned.values())), "entry")
    return f"the plan names ({entries} in {counted(len(planned), 'repository', 'repositories')})"


def _apply_now(
    store: "Registry",
    settings: Settings,
    in_use_file: str | None,
    planned: Mapping[str, set[str]] | None,
    progress: CountedLine,
) -> Iterator[AppliedRow]:
    """Apply the policies, and return a row for each repository in which something was to be done."""
    from lading.jobs import cleanup

    refuse_looser(settings, store)
    context = cleanup_context(settings, store, in_use_file)
    for name in _chosen(store, []) if planned is None else sorted(planned):
        plan = cleanup.plan(store, name, context)
        report = cleanup.apply(store, plan, None if planned is None else planned[name])
        progress.count("clean-up", name)
        row = AppliedRow(name, report.deleted, report.kept, report.changed, report.tags_by_policy.total())
        if row.deleted or row.skipped or row.tags:
            yield row


def cleanup_context(
    settings: Settings, store: "Registry", file: str | None = None, needed: bool = True
) -> "CleanupContext":
    """Return policies, in-use reports and time for clean-up.

    Args:
        settings: name the policies, for a registry whose rules have none; those of an option are tried in any case.
        store: has the reports, and the rules.
        file: digests and references to keep, one a line, beside what was reported.
        needed: whether it is an error where there are no policies.

    Raises:
        CommandError: there are no policies, or the file cannot be read.
        SettingsError: the policies are not valid.
    """
    context = trial_context(settings)
    if needed and not context.policies and not store.rules.read_all().has_policies:
        raise CommandError("there are no policies; use --cleanup FILE")
    return replace(context, running=[*store.in_use_reports.all(), *_report_of(file)])


def trial_context(settings: Settings) -> "CleanupContext":
    """Return the policies of the settings and the time, without in-use reports. Raises SettingsError."""
    from lading.cleanup_setting import open_cleanup_policies
    from lading.jobs.cleanup import CleanupContext

    is_trial = settings.sources["cleanup"].startswith("--")
    return CleanupContext(open_cleanup_policies(settings), (), datetime.now(UTC), is_trial)


def _report_of(file: str | None) -> "Iterable[InUseReport]":
    from lading.registry.in_use import InUseReportError, normalize_references
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
    """Return the names of all repositories, page by page."""
    from lading.registry.pagination import check_advance

    after = ""
    while True:
        page = store.repositories(after, PAGE_SIZE)
        yield from page.items
        if not page.next:
            return
        check_advance(after, [page.next])
        after = page.next


def _chosen(store: "Registry", globs: list[str]) -> Iterator[str]:
    from lading.registry.globs import matches

    return (name for name in names_of(store) if not globs or any(matches(glob, name) for glob in globs))


def _plan_rows(plan: "Plan", sizes: "SizeCalculator") -> Iterator[PlanRow]:
    for decision in plan.decisions:
        yield PlanRow(
            repository=plan.repository,
            digest=decision.digest,
            tags=tuple(plan.graph.nodes[decision.digest].tags),
            kept=decision.kept,
            rule=decision.policy,
            why=decision.reason,
            frees=0 if decision.kept else sizes.exclusive([decision.digest]),
            untags=dict(decision.tags),
        )


def _read_plan(file: str) -> Mapping[str, set[str]]:
    """Return what a plan deletes, by repository, as jobs.cleanup.apply takes it.

    Raises:
        CommandError: the file cannot be read, or is no plan.
    """
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
                # A plan of an earlier release has no `untags`.
                for tag in row.get("untags", {}):
                    planned[row["repository"]].add(tag_reference(tag, row["digest"]))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{file} is not a plan, as `lading cleanup plan --json` prints it: {error!r}") from None
    return planned


def _parse_lines(lines: IO[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in lines if line.strip())
