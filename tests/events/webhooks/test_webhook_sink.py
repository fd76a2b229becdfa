"""Deliveries: one for each webhook that wants an event, created with the publication of the event."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from lading.events.webhook_admin import WebhookAdmin, WebhookError
from lading.events.webhooks import MAX_BODY, WebhookSink, body_of
from lading_storage.protocols import Create
from lading_storage.records.events import Delivery
from tests.events import outbox_events
from tests.events.webhooks.webhook_fixtures import REGISTRY, Webhooks

URL = "https://hook.example/"


def wanted(webhooks: Webhooks) -> set[tuple[str, str, str]]:
    return {(each.webhook, each.type, each.target) for each in webhooks.deliveries}


def test_each_webhook_gets_the_events_that_its_globs_select(webhooks: Webhooks) -> None:
    for id, types, repositories in (
        ("all", [], []),
        ("tags", ["tag.*"], []),
        ("deleted", ["image.deleted", "repository.deleted"], []),
        ("team", [], ["team/*", "other"]),
        ("team-tags", ["tag.moved"], ["team/*"]),
    ):
        webhooks.admin.add(URL, types, repositories, id)
    webhooks.publish(
        webhooks.event(1, "tag.moved", "team/app"),
        webhooks.event(2, "tag.deleted", "library/app"),
        webhooks.event(3, "image.deleted", "teams/app"),
    )
    assert wanted(webhooks) == {
        ("all", "tag.moved", "team/app"),
        ("all", "tag.deleted", "library/app"),
        ("all", "image.deleted", "teams/app"),
        ("tags", "tag.moved", "team/app"),
        ("tags", "tag.deleted", "library/app"),
        ("deleted", "image.deleted", "teams/app"),
        ("team", "tag.moved", "team/app"),
        ("team-tags", "tag.moved", "team/app"),
    }


def test_a_webhook_gets_nothing_of_before_it_was_added(webhooks: Webhooks) -> None:
    before = webhooks.event(1)
    webhooks.clock.advance(microseconds=1)
    webhooks.admin.add(URL, id="new")
    webhooks.publish(before, webhooks.event(2))
    assert webhooks.delivery.event == webhooks.event(2).name


def test_a_webhook_gets_what_is_replayed_of_before_it_was_added(webhooks: Webhooks) -> None:
    before = replace(webhooks.event(1), replayed_at=webhooks.clock.time)
    webhooks.clock.advance(microseconds=1)
    webhooks.admin.add(URL, id="new")
    webhooks.publish(before)
    assert webhooks.delivery.event == before.name


def test_a_clock_that_is_set_back_to_before_a_webhook_was_added_hides_no_change(webhooks: Webhooks) -> None:
    webhooks.admin.add(URL, id="new")
    webhooks.clock.advance(days=-1)
    webhooks.publish(webhooks.event(1))
    assert webhooks.delivery.event == webhooks.event(1).name


def test_a_disabled_webhook_gets_nothing_until_it_is_enabled(webhooks: Webhooks) -> None:
    webhooks.admin.add(URL, id="one")
    webhooks.admin.disable("one")
    webhooks.publish(webhooks.event(1))
    assert webhooks.deliveries == []
    webhooks.admin.enable("one")
    webhooks.publish(webhooks.event(2))
    assert webhooks.delivery.event == webhooks.event(2).name


def test_an_event_that_is_published_again_gets_no_second_delivery(webhooks: Webhooks) -> None:
    """A publisher is killed before its commit, or an event is replayed: a conflict each time would stop all events."""
    webhooks.admin.add(URL, id="one")
    event = webhooks.event(1)
    webhooks.publish(event)
    webhooks.admin.add(URL, id="two")
    webhooks.publish(event)
    assert {each.webhook for each in webhooks.deliveries} == {"one", "two"}


def test_the_body_is_the_cloud_event(webhooks: Webhooks) -> None:
    webhooks.admin.add(URL, id="one")
    event = webhooks.event(1)
    webhooks.publish(event)
    body = json.loads(webhooks.delivery.body)
    assert body["id"] == event.name == webhooks.delivery.event
    assert (body["type"], body["source"]) == ("dev.lading.tag.moved.v1", f"{REGISTRY}/team/app")


def test_the_longest_body_is_within_its_limit() -> None:
    event = outbox_events.event(
        repository="r" * 255, tag="t" * 128, before=outbox_events.BEFORE, media_type="m" * 255, by="\u00fc" * 5_000
    )
    body = body_of(event, f"https://{'h' * 250}")
    assert len(body.encode()) <= MAX_BODY
    assert json.loads(body)["data"]["tag"] == "t" * 128
    assert "actor" not in json.loads(body)
    assert "actor" in json.loads(body_of(outbox_events.event(by="alice"), REGISTRY))


def test_the_address_of_the_registry_is_needed_only_for_webhooks(webhooks: Webhooks) -> None:
    def unknown() -> str:
        raise ValueError("say --url")

    sink = WebhookSink(webhooks.metadata, unknown, webhooks.clock)
    event = webhooks.event(1)
    assert sink.publish([event]).accepted == {event.name}
    webhooks.admin.add(URL, id="one")
    with pytest.raises(ValueError, match="say --url"):
        sink.publish([event])


def test_a_page_of_events_costs_a_query_and_a_read(webhooks: Webhooks) -> None:
    webhooks.admin.add(URL, id="one")
    writes = webhooks.sink.publish([webhooks.event(number) for number in range(100)]).writes
    assert len(writes) == 100
    assert all(isinstance(each, Create) and isinstance(each.record, Delivery) for each in writes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "ftp://hook.example/"}, "a URL is http"),
        ({"url": "https://user:password@hook.example/"}, "a URL is http"),
        ({"types": ["tag.moves"]}, "tag.moves matches no type of events: there are image.pushed, "),
        ({"types": ["TAG.*"]}, "TAG.* matches no type"),
        ({"types": ["*"] * 101}, "at most 100 globs"),
        ({"repositories": ["Team/*"]}, "Team/* is no repository name"),
        ({"id": "Hook"}, "Hook is no id of a webhook"),
        ({"id": "-"}, "- is no id of a webhook"),
        ({"id": "a" * 41}, "is no id of a webhook"),
    ],
)
def test_what_is_invalid_is_not_added(webhooks: Webhooks, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WebhookError) as refused:
        webhooks.admin.add(**{"url": URL, **arguments})
    assert message in str(refused.value)
    assert ":password" not in str(refused.value)
    assert webhooks.admin.all() == []


def test_a_webhook_that_is_added_at_the_same_time_does_not_exceed_the_limit(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.events.webhook_admin.MAX_WEBHOOKS", 2)
    webhooks.admin.add(URL, id="one")

    def clock(store_time: datetime | None = None) -> datetime:
        webhooks.admin.add(URL, id="two")
        return webhooks.clock()

    with pytest.raises(WebhookError, match="at most 2 webhooks"):
        WebhookAdmin(webhooks.metadata, lambda: webhooks.key, clock).add(URL, id="three")
    assert [each.id for each in webhooks.admin.all()] == ["one", "two"]


def test_ids_are_unique_and_the_number_of_webhooks_is_limited(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.events.webhook_admin.MAX_WEBHOOKS", 3)
    webhooks.admin.add(URL, id="one")
    with pytest.raises(WebhookError, match="webhook one exists already"):
        webhooks.admin.add(URL, id="one")
    first, second = (webhooks.admin.add("https://Hook.example:8443/secret", id="")[0] for _ in range(2))
    assert first.id.startswith("hook-example-")
    assert first.id != second.id
    with pytest.raises(WebhookError, match="at most 3 webhooks"):
        webhooks.admin.add(URL, id="four")
    for id in ("none", "../x", ""):
        with pytest.raises(WebhookError, match="there is no webhook"):
            webhooks.admin.get(id)
