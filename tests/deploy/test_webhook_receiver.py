"""The receiver of docs/deployments.md, as it is printed there: signed events, and a program that stands for kubectl."""

import json
import os
import re
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from emulators.processes import free_port
from lading.events.cloud_event import cloud_event
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.deploy.google_world import HOST, digest, outbox_event
from tests.support import images
from tests.support.documents import DOCS
from tests.support.server_process import PROCESS_TIMEOUT, Server, run_lading, serving

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which kubectl is a script."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def printed(secret: str) -> Flask:
    """Return the receiver that is printed in the documents, for webhooks that are signed with a secret."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "deployments.md").read_text(), re.DOTALL | re.MULTILINE)
    os.environ["SECRET"] = secret
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, "deployments.md", "exec"), names)
    app: Flask = names["app"]
    return app


@pytest.fixture
def receiver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("SECRET", "")
    return printed(SECRET).test_client()


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


def push(server: Server, content: bytes) -> str:
    """Push an image with an annotation; return its digest."""
    config = f"/v2/team-a/app/blobs/uploads/?digest={digest_of(images.EMPTY_CONFIG)}"
    assert server.request("POST", config, images.EMPTY_CONFIG)[0].status == 201
    manifest = images.manifest([], annotations={"content": content.decode()})
    headers = {"Content-Type": OCI_MANIFEST}
    assert server.request("PUT", "/v2/team-a/app/manifests/prod", manifest, headers)[0].status == 201
    return digest_of(manifest)


def test_a_registry_deploys_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "")
    port = free_port()
    environment = {"LADING_DATA": str(folder / "data"), "LADING_WEBHOOK_NETWORKS": "127.0.0.1/32"}
    with serving(environment, folder / "log") as server:
        words = ["webhooks", "add", f"http://127.0.0.1:{port}/", "--types", "tag.moved", "--json"]
        added = run_lading(words, folder, environment)
        assert added.returncode == 0, added.stderr
        listening = make_server("127.0.0.1", port, printed(json.loads(added.stdout)["secret"]))
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            digests = [push(server, content) for content in (b"one", b"two")]
            deadline = time.monotonic() + PROCESS_TIMEOUT
            while deployed()[-1:] != digests[-1:] and time.monotonic() < deadline:
                time.sleep(0.05)
            done = run_lading(["rollback", "team-a/app:prod"], folder, environment)
            assert done.returncode == 0, done.stderr
            while deployed()[-1:] != digests[:1] and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            listening.shutdown()
            thread.join()
    # Events of one tag may overtake each other: of the first two, the first may have been dropped.
    assert deployed() in ([*digests, digests[0]], [digests[1], digests[0]])
