"""The example of Cloud Build's Pub/Sub trigger builds what is pushed to its tag, and nothing else."""

import json
import re
from dataclasses import replace
from functools import reduce
from typing import Any, Final

import pytest

from lading.events.cloud_event import cloud_event
from lading_storage.records.events import Event
from tests.events.outbox_events import event
from tests.terraform.terraform_cli import ROOT

EXAMPLE: Final = (ROOT / "terraform" / "examples" / "cloud-build-on-push" / "main.tf").read_text()
CANDIDATE: Final[dict[str, Any]] = {"repository": "team-a/app", "tag": "candidate", "type": "tag.moved"}


def substitutions(pushed: Event) -> dict[str, str]:
    """Return the values that Cloud Build binds, "" for a field that the message lacks.

    https://cloud.google.com/build/docs/configuring-builds/use-bash-and-bindings-in-substitutions
    """
    body: Any = {"message": {"data": json.loads(json.dumps(cloud_event(pushed, "https://registry.example.com")))}}
    bindings = re.findall(r'^    (_[A-Z]+) += "\$\(body\.([a-z.]+)\)"', EXAMPLE, re.MULTILINE)
    assert len(bindings) == 3
    return {name: reduce(lambda value, field: value.get(field, ""), path.split("."), body) for name, path in bindings}


def is_built(pushed: Event) -> bool:
    """Return whether the filter, a conjunction of comparisons in CEL, lets an event pass."""
    (text,) = re.findall(r'^  filter = "(.*)"$', EXAMPLE, re.MULTILINE)
    values = substitutions(pushed)
    conditions = [condition.split(" == ") for condition in text.split(" && ")]
    return all(values[name] == expected.strip('\\"') for name, expected in conditions)


def test_a_push_of_the_tag_is_built_by_digest() -> None:
    pushed = event(**CANDIDATE)
    assert is_built(pushed)
    assert substitutions(pushed)["_DIGEST"] == pushed.digest != ""


@pytest.mark.parametrize(
    "other",
    [{"tag": "tested"}, {"tag": ""}, {"target": "team-b/app"}, {"type": "tag.deleted"}, {"type": "image.pushed"}],
)
def test_no_other_change_is_built(other: dict[str, Any]) -> None:
    assert not is_built(replace(event(**CANDIDATE), **other))
