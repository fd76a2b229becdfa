"""argocd-image-updater's own webhook handler, of its release 1.3.0, and the registry's CloudEvents.

Its files pkg/webhook/cloudevents.go and webhook.go are compiled as they are, with its type WebhookEvent; its logger is
replaced. What it does with an event is to look for new tags of the images of that registry and repository
(pkg/argocd/argocd.go, parseImageList), so registry and repository are what counts.

Its handler for Artifact Registry's notifications (pull request 1419) is not released, and accepts Google's hosts alone.
"""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from emulators.processes import ProcessGroup
from lading.events.cloud_event import CONTENT_TYPE, cloud_event
from lading_storage.records.events import Event
from tests.deploy.google_world import HOST, digest, outbox_event
from tests.support.requirements import find_program, skip_or_fail

MODULE: Final = "github.com/argoproj-labs/argocd-image-updater"
VERSION: Final = "v1.3.0"
SUM: Final = "h1:MFqUKURoh14wV1ansPGFnzLIvUGhzWOMU8L2x96041U="
SOURCE: Final = Path(__file__).parent / "image_updater"


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the handler."""
    go = find_program("go", "https://go.dev/doc/install")
    folder = tmp_path_factory.mktemp("updater")
    release = _release(go, folder)
    for name in ("webhook.go", "cloudevents.go"):
        _copy(release / "pkg" / "webhook" / name, folder / "pkg" / "webhook" / name)
    _copy(SOURCE / "log.go", folder / "registry-scanner" / "pkg" / "log" / "log.go")
    _copy(SOURCE / "main.go", folder / "main.go")
    types = re.search(r"^type WebhookEvent struct \{.*?^\}", (release / "pkg/argocd/types.go").read_text(), re.M | re.S)
    assert types
    (folder / "pkg" / "argocd").mkdir()
    (folder / "pkg" / "argocd" / "types.go").write_text(f"package argocd\n\n{types[0]}\n")
    (folder / "go.mod").write_text(f"module {MODULE}\n\ngo 1.25\n\nrequire github.com/sirupsen/logrus v1.9.4\n")
    build = subprocess.run(
        [go, "build", "-mod=mod", "-o", "updater", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, build.stderr
    with ProcessGroup() as processes:
        port = processes.start_server("updater", [str(folder / "updater"), "{port}"])
        yield f"http://127.0.0.1:{port}/webhook?type=cloudevents&secret=secret"


def _release(go: str, folder: Path) -> Path:
    """Return the folder of the updater's source, of the Go module proxy."""
    command = [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "{}")
    if "Dir" not in found:
        skip_or_fail(f"{MODULE} cannot be downloaded: {found.get('Error', done.stderr)}")
    assert found["Sum"] == SUM
    return Path(found["Dir"])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def post(url: str, event: Event, media_type: str = CONTENT_TYPE) -> tuple[int, Any]:
    body = json.dumps(cloud_event(event, f"https://{HOST}")).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": media_type})) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("media_type", [CONTENT_TYPE, "application/json"])
def test_a_pushed_image_starts_a_check_of_its_repository(handler: str, media_type: str) -> None:
    status, event = post(handler, outbox_event(1, type="image.pushed", tag="", tagged=True), media_type)
    assert (status, event["registryUrl"], event["repository"]) == (200, HOST, "team-a/app")
    assert event["digest"] == digest(1)


def test_a_moved_tag_is_refused_for_its_type(handler: str) -> None:
    """So the documents name image.pushed as the type to send."""
    assert post(handler, outbox_event(1)) == (400, "unsupported CloudEvents type: dev.lading.tag.moved.v1\n")


def test_the_secret_is_part_of_the_url(handler: str) -> None:
    image = outbox_event(1, type="image.pushed", tag="")
    assert post(handler.replace("secret=secret", "secret=other"), image) == (400, "invalid webhook secret\n")
