"""The receiver of docs/deployments.md, as it is printed there: signed events, and a program that stands for kubectl."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

from lading.events.cloud_event import cloud_event
from tests.deploy.google_world import HOST, digest, outbox_event
from tests.support.documents import DOCS

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

KUBECTL = """#!/bin/sh
echo "$@" >> calls
case "$1 $2" in
  "get deployment/app") cat sequence 2>/dev/null; exit 0;;
  "set image") test ! -e broken;;
  "annotate --overwrite") echo "$4" | cut -d= -f2 | tr -d '\\n' > sequence;;
esac
"""


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "deployments.md").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, "deployments.md", "exec"), names)
    client: FlaskClient = names["app"].test_client()
    return client


def deliver(receiver: FlaskClient, number: int, secret: str = SECRET, **fields: Any) -> TestResponse:
    body = json.dumps(cloud_event(outbox_event(number, **fields), f"https://{HOST}"))
    now = datetime.now(UTC)
    signature = Webhook(secret).sign(f"{number}", now, body)
    stamp = {"webhook-id": f"{number}", "webhook-timestamp": f"{int(now.timestamp())}", "webhook-signature": signature}
    return receiver.post("/", data=body, headers=stamp)


def deployed() -> list[str]:
    lines = Path("calls").read_text().splitlines() if Path("calls").exists() else []
    return [line.rpartition("@")[2] for line in lines if line.startswith("set image deployment/app app=")]


def test_a_moved_tag_is_deployed_by_digest_once_and_never_backwards(receiver: FlaskClient) -> None:
    for number, of in ((1, 1), (3, 3), (2, 2), (3, 3), (4, 1)):
        assert deliver(receiver, number, of=of).status_code == 204
    assert deployed() == [digest(1), digest(3), digest(1)]
    image = f"set image deployment/app app={HOST}/team-a/app@{digest(1)}"
    assert image in Path("calls").read_text().splitlines()


def test_what_fails_is_deployed_by_the_next_attempt(receiver: FlaskClient) -> None:
    Path("broken").touch()
    assert deliver(receiver, 1).status_code == 500
    Path("broken").unlink()
    assert deliver(receiver, 1).status_code == 204
    assert deployed() == [digest(1), digest(1)]


@pytest.mark.parametrize("other", [{"type": "tag.deleted"}, {"tag": "dev"}, {"target": "team-b/app"}])
def test_other_events_deploy_nothing(receiver: FlaskClient, other: dict[str, Any]) -> None:
    assert deliver(receiver, 1, **other).status_code == 204
    assert deployed() == []


def test_a_wrong_signature_deploys_nothing(receiver: FlaskClient) -> None:
    assert deliver(receiver, 1, secret="whsec_" + "A" * 32).status_code == 401
    assert deployed() == []
