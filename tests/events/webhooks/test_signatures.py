"""Signatures: receivers verify them with the library of Standard Webhooks; secrets are stored encrypted."""

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from lading.auth.keys import generate_keys, rotate
from lading.events.webhook_admin import WebhookError
from lading.events.webhook_secrets import SecretLost, seal, unseal
from lading_storage.records.fields import values_of
from tests.events.webhooks.webhook_fixtures import Webhooks
from tests.support.webhook_receiver import Received, Receiver

ROOT = Path(__file__).parents[3]


def verified(secret: str, request: Received) -> bool:
    try:
        Verifier(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


def test_a_delivery_is_verified_by_the_library(webhooks: Webhooks, endpoint: Receiver) -> None:
    _, secret = webhooks.admin.add(endpoint.url, id="one")
    event = webhooks.event(1)
    webhooks.publish(event)
    assert webhooks.deliver() == {"delivered": 1}

    (request,) = endpoint.received
    assert Verifier(secret).verify(request.body, dict(request.headers)) == json.loads(request.body)
    assert request.headers["webhook-id"] == event.name
    assert request.headers["webhook-timestamp"] == str(int(webhooks.clock.time.timestamp()))
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert webhooks.deliveries == []
    assert not verified("whsec_" + base64.b64encode(bytes(32)).decode(), request)
    for changed in (
        replace(request, body=request.body + b" "),
        replace(request, headers={**request.headers, "webhook-id": "0" * 32}),
        replace(request, headers={**request.headers, "webhook-timestamp": "1"}),
    ):
        assert not verified(secret, changed)


def test_both_secrets_sign_for_a_day_after_a_rotation(webhooks: Webhooks, endpoint: Receiver) -> None:
    _, first = webhooks.admin.add(endpoint.url, id="one")
    second = webhooks.admin.rotate("one")
    webhooks.publish(webhooks.event(1))
    webhooks.deliver()
    assert len(endpoint.received[0].headers["webhook-signature"].split()) == 2
    assert verified(first, endpoint.received[0])
    assert verified(second, endpoint.received[0])

    # The second one was lost, before any receiver had it.
    webhooks.clock.advance(hours=23)
    third = webhooks.admin.rotate("one")
    webhooks.clock.advance(hours=-23)
    webhooks.publish(webhooks.event(2))
    webhooks.deliver()
    assert [verified(each, endpoint.received[1]) for each in (first, second, third)] == [True, True, True]

    webhooks.clock.advance(hours=47)
    webhooks.publish(webhooks.event(3))
    webhooks.deliver()
    request = endpoint.received[2]
    expected = Verifier(third).sign(webhooks.event(3).name, webhooks.clock.time.astimezone(UTC), request.body.decode())
    assert request.headers["webhook-signature"] == expected


def test_no_rotation_ends_the_overlap_of_those_before(webhooks: Webhooks) -> None:
    webhooks.admin.add("https://hook.example/", id="one")
    webhooks.clock.time = datetime(2030, 5, 1, 12, tzinfo=UTC)
    for _ in range(2):
        webhooks.admin.rotate("one")
    before = webhooks.admin.get("one")
    webhooks.clock.advance(hours=24, microseconds=-1)
    with pytest.raises(WebhookError, match=r"has 3 secrets .* rotate again after 2030-05-02T12:00:00Z, or .* --revoke"):
        webhooks.admin.rotate("one")
    assert webhooks.admin.get("one") == before

    webhooks.clock.advance(microseconds=1)
    webhooks.admin.rotate("one")
    assert webhooks.admin.get("one").secrets[1:] == before.secrets[:1]
    webhooks.admin.rotate("one")
    webhooks.admin.rotate("one", revoke=True)
    assert len(webhooks.admin.get("one").secrets) == 1


def test_a_former_secret_can_be_revoked_at_once(webhooks: Webhooks, endpoint: Receiver) -> None:
    _, first = webhooks.admin.add(endpoint.url, id="one")
    second = webhooks.admin.rotate("one", revoke=True)
    webhooks.publish(webhooks.event(1))
    webhooks.deliver()
    assert [verified(each, endpoint.received[0]) for each in (first, second)] == [False, True]


def test_an_attempt_after_a_rotation_is_signed_with_the_new_secret(webhooks: Webhooks, endpoint: Receiver) -> None:
    webhooks.admin.add(endpoint.url, id="one")
    endpoint.always(500)
    webhooks.publish(webhooks.event(1))
    webhooks.deliver()
    secret = webhooks.admin.rotate("one", revoke=True)
    webhooks.clock.advance(seconds=6)
    webhooks.deliver()
    assert [verified(secret, each) for each in endpoint.received] == [False, True]


def test_the_store_has_no_secret_that_can_be_read(webhooks: Webhooks) -> None:
    webhook, secret = webhooks.admin.add("https://hook.example/", id="one")
    stored = repr(values_of(webhooks.admin.get("one")))
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(raw) == 32
    for form in (secret, secret.removeprefix("whsec_"), raw.hex(), repr(raw)):
        assert form not in stored
    assert unseal(webhooks.key, "one", webhook.secrets[0]) == secret


def test_a_rotation_of_the_registrys_keys_keeps_webhooks(webhooks: Webhooks, endpoint: Receiver) -> None:
    keys = generate_keys()
    webhooks.key = keys.robots
    _, secret = webhooks.admin.add(endpoint.url, id="one")
    webhooks.key = rotate(rotate(keys)).robots
    webhooks.publish(webhooks.event(1))
    webhooks.deliver()
    assert verified(secret, endpoint.received[0])


def test_a_sealed_secret_is_bound_to_its_webhook_and_to_the_keys() -> None:
    key = generate_keys().robots
    sealed = seal(key, "one", "whsec_AAAA")
    assert unseal(key, "one", sealed) == "whsec_AAAA"
    assert seal(key, "one", "whsec_AAAA") != sealed
    damaged = base64.b64encode(base64.b64decode(sealed)[:-1] + b"x").decode()
    for other_key, webhook, text in (
        (generate_keys().robots, "one", sealed),
        (key, "two", sealed),
        (key, "one", damaged),
        (key, "one", ""),
        (key, "one", "AAAA"),
        (key, "one", "no base64"),
    ):
        with pytest.raises(SecretLost, match=f"lading webhooks rotate {webhook}"):
            unseal(other_key, webhook, text)


def test_with_other_keys_nothing_is_sent_until_the_secret_is_rotated(webhooks: Webhooks, endpoint: Receiver) -> None:
    """As after a restore from a backup, which has no keys."""
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.key = generate_keys().robots
    webhooks.publish(webhooks.event(1))
    assert webhooks.deliver() == {"failed": 1}
    assert "lading webhooks rotate one" in webhooks.delivery.error
    assert endpoint.received == []

    secret = webhooks.admin.rotate("one", revoke=True)
    webhooks.clock.advance(seconds=6)
    assert webhooks.deliver() == {"delivered": 1}
    assert verified(secret, endpoint.received[0])


def test_a_secret_of_other_keys_beside_a_new_one_does_not_hold_up_deliveries(
    webhooks: Webhooks, endpoint: Receiver
) -> None:
    webhooks.admin.add(endpoint.url, id="one")
    webhooks.key = generate_keys().robots
    secret = webhooks.admin.rotate("one")
    webhooks.publish(webhooks.event(1))
    assert webhooks.deliver() == {"delivered": 1}
    assert verified(secret, endpoint.received[0])


def test_a_clock_in_another_zone_signs_the_same_time(webhooks: Webhooks, endpoint: Receiver) -> None:
    _, secret = webhooks.admin.add(endpoint.url, id="one")
    webhooks.clock.time = webhooks.clock.time.astimezone(timezone(timedelta(hours=5)))
    webhooks.publish(webhooks.event(1))
    webhooks.deliver()
    assert verified(secret, endpoint.received[0])


def test_the_receiver_of_the_documentation_verifies(webhooks: Webhooks, endpoint: Receiver) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    _, secret = webhooks.admin.add(endpoint.url, id="one")
    event = webhooks.event(1)
    webhooks.publish(event)
    webhooks.deliver()
    (request,) = endpoint.received
    assert names["receive"](secret, request.body, dict(request.headers))["id"] == event.name
    assert names["receive"](secret, request.body + b" ", dict(request.headers)) is None
