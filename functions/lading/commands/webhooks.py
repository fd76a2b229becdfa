"""`lading webhooks`: the endpoints that receive events."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lading.commands.options import (
    CommandError,
    Commands,
    add,
    add_group,
    add_yes,
    change_context,
    confirm,
    count,
    metadata,
    refuse_standby,
    value_or_stdin,
)
from lading.commands.output import Column, Printer, add_output_options
from lading.quantity import counted
from lading.settings import Settings
from lading_storage.records.core import Key
from lading_storage.records.events import DEAD, Delivery, Webhook

if TYPE_CHECKING:
    from lading.events.webhook_admin import WebhookAdmin
    from lading.registry.changes import Kind

STORES: Final = ("data", "metadata")
WITH_KEYS: Final = (*STORES, "keys")
NETWORKS: Final = "webhook-networks"

MAX_SHOWN: Final = 1_000
"""Dead letters that are listed by default, and deliveries that are counted."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """Webhook.

    url       in lists without its path, which can be a secret
    types     globs of the types of events; none for all
    disabled  why it receives nothing, or ""
    rotated   when the secret was last rotated, or None
    """

    id: str
    url: str
    types: tuple[str, ...]
    repositories: tuple[str, ...]
    disabled: str
    created: datetime
    by: str
    rotated: datetime | None

    @classmethod
    def of(cls, webhook: Webhook, url: str = "") -> "WebhookRow":
        """Return the row of a record, with its own URL or another one."""
        return cls(
            id=webhook.id,
            url=url or webhook.url,
            types=webhook.types,
            repositories=webhook.repositories,
            disabled=webhook.disabled,
            created=webhook.created,
            by=webhook.by,
            rotated=webhook.rotated,
        )


@dataclass(frozen=True, slots=True)
class SigningSecretRow:
    """The id of a webhook and its new signing secret, which is not shown again."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """An event that an endpoint accepted, by its id, and the status of the response."""

    id: str
    event: str
    status: int


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """Event that a webhook has not accepted, since when it is given up, and the reason of the last failure."""

    webhook: str
    event: str
    type: str
    repository: str
    attempts: int
    since: datetime
    error: str

    @classmethod
    def of(cls, delivery: Delivery) -> "DeadLetterRow":
        """Return the row of a record."""
        return cls(
            delivery.webhook,
            delivery.event,
            delivery.type,
            delivery.target,
            delivery.attempts,
            delivery.next,
            delivery.error,
        )


COLUMNS: Final[tuple[Column[WebhookRow], ...]] = (
    Column("ID", lambda row: row.id),
    Column("URL", lambda row: row.url),
    Column("TYPES", lambda row: row.types or "all"),
    Column("REPOSITORIES", lambda row: row.repositories or "all"),
    Column("DISABLED", lambda row: row.disabled),
    Column("CREATED", lambda row: row.created),
)

DEAD_COLUMNS: Final[tuple[Column[DeadLetterRow], ...]] = (
    Column("WEBHOOK", lambda row: row.webhook),
    Column("EVENT", lambda row: row.event),
    Column("TYPE", lambda row: row.type),
    Column("REPOSITORY", lambda row: row.repository),
    Column("ATTEMPTS", lambda row: row.attempts, right=True),
    Column("SINCE", lambda row: row.since),
    Column("ERROR", lambda row: row.error),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "webhooks", "the HTTP endpoints that receive events")
    new = add(group, "add", "add a webhook, and print its secret, this once", _add, (*WITH_KEYS, NETWORKS))
    endpoint = "http(s)://HOST[:PORT][/PATH], to which events are posted; - reads it from standard input"
    new.add_argument("endpoint", metavar="URL", help=endpoint)
    new.add_argument("--types", default="", metavar="TYPES", help="such as tag.*,image.deleted; default all")
    new.add_argument("--repositories", default="", metavar="NAMES", help="such as team-a/*,library/app; default all")
    new.add_argument("--id", default="", metavar="ID", help="by default made of the host")
    add_output_options(new, SigningSecretRow, wide=False)
    add_output_options(add(group, "list", "list the webhooks, without secrets and paths", _list, STORES), WebhookRow)
    show = add(group, "show", "show a webhook with its whole URL, and what waits for it", _show, STORES)
    test = add(group, "test", "send a test event at once", _test, (*WITH_KEYS, "url", NETWORKS))
    rotate = add(group, "rotate", "make a new secret; for a day the former ones sign as well", _rotate, WITH_KEYS)
    dead = add(group, "dead", "list the dead letters: events that were given up", _dead, STORES)
    retry = add(group, "retry", "attempt dead letters again", _retry, STORES)
    enable = add(group, "enable", "send events again, of changes from now on", _enable, STORES)
    disable = add(group, "disable", "send no more events; what waits becomes dead letters", _disable, STORES)
    remove = add(group, "remove", "remove a webhook with its deliveries and dead letters", _remove, STORES)
    for parser in (show, test, rotate, retry, enable, disable, remove):
        parser.add_argument("id", metavar="ID")
    dead.add_argument("id", nargs="?", default="", metavar="ID", help="only those of this webhook")
    dead.add_argument("--limit", type=count, default=MAX_SHOWN, metavar="NUMBER", help=f"default {MAX_SHOWN}")
    retry.add_argument("--event", default="", metavar="EVENT", help="only that of this event, by its id")
    rotate.add_argument("--revoke", action="store_true", help="former secrets no longer sign: one was disclosed")
    add_yes(remove)
    add_output_options(show, WebhookRow)
    add_output_options(dead, DeadLetterRow)
    add_output_options(test, AcceptedRow, wide=False)
    add_output_options(rotate, SigningSecretRow, wide=False)


def _add(parsed: argparse.Namespace, settings: Settings) -> None:
    url = value_or_stdin(parsed.endpoint)
    notes = _check_address(url, settings)
    webhooks, by = _open(settings), change_context("webhooks").actor
    webhook, secret = webhooks.add(url, _globs(parsed.types), _globs(parsed.repositories), parsed.id, by)
    _audit(settings, "webhook-added", webhook.id)
    printer = Printer.of(parsed)
    printer.record(SigningSecretRow(webhook.id, secret), f"webhook  {webhook.id}\nsecret   {secret}")
    for note in (*notes, f"`lading webhooks test {webhook.id}` sends a test event"):
        printer.note(note)


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    Printer.of(parsed).table(COLUMNS, _rows(_open(settings, writes=False)))


def _rows(webhooks: "WebhookAdmin") -> Iterator[WebhookRow]:
    from lading.addresses import parse_url

    for each in webhooks.all():
        target = parse_url(each.url)
        yield WebhookRow.of(each, f"{target.origin}/{'…' if target.path != '/' else ''}")


def _show(parsed: argparse.Namespace, settings: Settings) -> None:
    webhooks = _open(settings, writes=False)
    webhook, printer = webhooks.get(parsed.id), Printer.of(parsed)
    if printer.json:
        printer.record(WebhookRow.of(webhook), "")
        return
    deliveries = webhooks.deliveries(webhook.id, MAX_SHOWN)
    dead = sum(each.state == DEAD for each in deliveries)
    printer.fields(
        {
            "id": webhook.id,
            "url": webhook.url,
            "types": webhook.types or "all",
            "repositories": webhook.repositories or "all",
            "disabled": webhook.disabled,
            "created": webhook.created,
            "by": webhook.by,
            "secret rotated": webhook.rotated,
            "deliveries": f"{len(deliveries) - dead} wait, {counted(dead, 'dead letter')}"
            + (f" of the first {MAX_SHOWN}" if len(deliveries) == MAX_SHOWN else ""),
        }
    )


def _test(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.events.webhooks import body_of, sample_event
    from lading.registry.change_context import now
    from lading.webhook_composition import open_webhook_client

    webhook, event = _open(settings).get(parsed.id), sample_event(now())
    attempt = open_webhook_client(settings).post(webhook, event.name, body_of(event, settings.events_url))
    _audit(settings, "webhook-tested", webhook.id)
    if attempt.error:
        raise CommandError(f"webhook {webhook.id}: {attempt.error}")
    row = AcceptedRow(webhook.id, event.name, attempt.status)
    Printer.of(parsed).record(row, f"webhook {row.id} accepted test event {row.event} with status {row.status}")


def _rotate(parsed: argparse.Namespace, settings: Settings) -> None:
    secret = _open(settings).rotate(parsed.id, parsed.revoke)
    _audit(settings, "webhook-changed", parsed.id)
    row = SigningSecretRow(parsed.id, secret)
    Printer.of(parsed).record(row, f"webhook  {row.id}\nsecret   {row.secret}")


def _dead(parsed: argparse.Namespace, settings: Settings) -> None:
    webhooks = _open(settings, writes=False)
    if parsed.id:
        webhooks.get(parsed.id)
    Printer.of(parsed).table(DEAD_COLUMNS, map(DeadLetterRow.of, webhooks.dead_letters(parsed.id, parsed.limit)))


def _retry(parsed: argparse.Namespace, settings: Settings) -> None:
    number = _open(settings).retry(parsed.id, parsed.event)
    if number:
        _audit(settings, "webhook-retried", parsed.id)
    print(f"{counted(number, 'dead letter')} of webhook {parsed.id} will be attempted again")


def _enable(parsed: argparse.Namespace, settings: Settings) -> None:
    _open(settings).enable(parsed.id)
    _audit(settings, "webhook-changed", parsed.id)


def _disable(parsed: argparse.Namespace, settings: Settings) -> None:
    _open(settings).disable(parsed.id)
    _audit(settings, "webhook-changed", parsed.id)


def _remove(parsed: argparse.Namespace, settings: Settings) -> None:
    webhooks = _open(settings)
    webhooks.get(parsed.id)
    if deliveries := webhooks.deliveries(parsed.id, MAX_SHOWN):
        events = counted(len(deliveries), "event") if len(deliveries) < MAX_SHOWN else f"{MAX_SHOWN} or more events"
        confirm(parsed, f"Remove webhook {parsed.id} and {events} that it has not accepted?")
    webhooks.remove(parsed.id)
    _audit(settings, "webhook-removed", parsed.id)


def _open(settings: Settings, writes: bool = True) -> "WebhookAdmin":
    """Return the webhooks of the registry of the settings. Raises StoreNotFound; no key is created then."""
    from lading.webhook_composition import open_webhook_admin

    if writes:
        refuse_standby(settings)
    opened = metadata(settings, upgrade=writes)
    opened.read([Key(Webhook, "-")])
    return open_webhook_admin(settings, opened)


def _check_address(url: str, settings: Settings) -> list[str]:
    """Return what the user should know about an address. Raises CommandError where it may not be reached."""
    from lading.addresses import AddressRefused, Unresolvable, parse_url
    from lading.webhook_composition import open_addresses

    notes = []
    try:
        target = parse_url(url)
        if target.scheme == "http":
            notes.append("events are sent unencrypted: use https:// where others can read the connection")
        open_addresses(settings).resolve(target)
    except Unresolvable as error:
        notes.append(f"{error}; deliveries are retried for a day")
    except AddressRefused as error:
        raise CommandError(str(error)) from None
    return notes


def _audit(settings: Settings, kind: "Kind", id: str) -> None:
    from lading import audit, logs
    from lading.registry.changes import Change

    logs.start(settings.log, settings.project, settings.log_level)
    audit.record_command(change_context("webhooks").actor, "manage", "", Change(kind), reference=id)


def _globs(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
