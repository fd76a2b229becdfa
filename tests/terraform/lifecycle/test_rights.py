"""Each account may do what its code calls, and nothing more.

The registry and the collector do all that they do here, in this process, and each call to Google is written down.
"""

import json
import os
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import google.auth
import google.oauth2.credentials
import pytest

from emulators import Emulators
from lading import settings
from lading.composition import create, open_collector, open_metadata
from lading.events.publish_runs import PublishRuns
from lading.jobs.gc.sweep import GracePeriods
from lading.jobs.job_report import BYTES_FREED
from lading.jobs.runner import LEASE_DURATION, TIME_SLICE
from lading.publisher_composition import open_publisher
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.webhook_composition import open_delivery_run, open_webhook_admin
from lading_storage.digests import digest_of
from lading_storage.firestore_indexes import COLLECTION, COLLECTION_GROUP, indexes_of
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS
from tests.events.fake_pubsub import error, fake_pubsub
from tests.support import images
from tests.support.app_client import Client, Response
from tests.support.server_process import basic
from tests.terraform.apis import NUMBER, PROJECT
from tests.terraform.calls import recorded
from tests.terraform.deployed_permissions import (
    DEVELOPER,
    RUNTIME,
    Runtime,
    account_of,
    check,
    granted,
    permissions_of,
    settings_of,
    write_iam_world,
)
from tests.terraform.deployment_lifecycle import DeploymentLifecycle
from tests.terraform.terraform_cli import ROOT

LARGE = 1_200_000
"""Bytes of a manifest that Firestore does not take."""

ZERO = timedelta(0)


@pytest.fixture
def deployed(life: DeploymentLifecycle, emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """The settings of the deployment, in an environment where the emulators stand for Google."""
    write_iam_world(life.applied, emulators.iam)
    variables = {**settings_of(life.applied), **emulators.fresh_stores(), "GCE_METADATA_HOST": "never.asked"}
    # The collector purges what was just deleted: no grace period of its own is shorter than the registry's rule.
    variables["LADING_UNDELETE"] = "0s"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    own = Runtime(RUNTIME)  # type: ignore[no-untyped-call]
    own.service_account_email = account_of(life.applied, "registry")
    monkeypatch.setattr(google.auth, "default", lambda **_: (own, PROJECT))
    return settings.load_settings(os.environ)


class Developer:
    """A developer of team-a, at a registry."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._headers = {"Authorization": basic("oauth2accesstoken", DEVELOPER)}

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        answer = self._client.request(method, path, body, {**self._headers, **headers})
        assert answer.status < 400, answer.body
        return answer

    def begin(self, name: str) -> str:
        """Begin an upload; answers its path."""
        return urlsplit(self.request("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]).path

    def upload(self, name: str, content: bytes) -> None:
        """Upload a blob in two pieces."""
        path, half = self.begin(name), len(content) // 2
        for start, piece in ((0, content[:half]), (half, content[half:])):
            span = {"Content-Range": f"{start}-{start + len(piece) - 1}"}
            self.request("PATCH", path, piece, **span, **{"Content-Type": "application/octet-stream"})
        self.request("PUT", f"{path}?digest={digest_of(content)}")

    def push(self, name: str, *layers: bytes, tag: str, size: int = 0) -> bytes:
        """Push an image; `size`: bytes of an annotation of its manifest."""
        for content in (images.EMPTY_CONFIG, *layers):
            self.upload(name, content)
        manifest = images.manifest(list(layers), annotations={"long": "x" * size})
        self.request("PUT", f"/v2/{name}/manifests/{tag}", manifest, **{"Content-Type": OCI_MANIFEST})
        return manifest


def use(developer: Developer) -> None:
    """All that a registry does."""
    layer = images.blob(300_000)
    manifest = developer.push("team-a/app", layer, tag="v1")
    large = developer.push("team-a/app", images.blob(), tag="large", size=LARGE)
    for digest in (digest_of(layer), digest_of(images.EMPTY_CONFIG)):
        developer.request("POST", f"/v2/team-a/other/blobs/uploads/?mount={digest}&from=team-a/app")
        developer.request("POST", f"/v2/team-a/third/blobs/uploads/?mount={digest}")
    for reference in ("v1", "large", digest_of(manifest), digest_of(large)):
        developer.request("GET", f"/v2/team-a/app/manifests/{reference}")
    assert developer.request("GET", f"/v2/team-a/app/blobs/{digest_of(layer)}").status == 307
    for listing in ("team-a/app/tags/list", f"team-a/app/referrers/{digest_of(manifest)}", "_catalog"):
        developer.request("GET", f"/v2/{listing}")
    developer.upload("team-a/app", images.blob(1000))
    old = developer.push("team-a/old/app", images.blob(), tag="v1", size=LARGE)
    developer.request("DELETE", "/v2/team-a/old/app/manifests/v1")
    developer.request("DELETE", f"/v2/team-a/old/app/manifests/{digest_of(old)}")
    path = developer.begin("team-a/app")
    developer.request("PATCH", path, b"left behind", **{"Content-Type": "application/octet-stream"})
    developer.request("DELETE", path)


def test_the_registry_may_do_what_it_calls(life: DeploymentLifecycle, deployed: settings.Settings) -> None:
    with recorded() as calls:
        app = create(deployed)
        use(Developer(Client(app)))
        app.registry.close()
    check(calls, granted(life.applied, "registry"))


def test_the_collector_may_do_what_it_calls(life: DeploymentLifecycle, deployed: settings.Settings) -> None:
    # With no undelete window from the first start on: the collector honours the one that is recorded.
    without_undelete = replace(deployed, undelete=ZERO)
    app = create(without_undelete)
    use(Developer(Client(app)))
    app.registry.close()
    with recorded() as calls:
        report = open_collector(without_undelete, GracePeriods(ZERO, ZERO, ZERO, ZERO)).run()
    assert report is not None
    assert report.finished
    assert report.counts[BYTES_FREED] > LARGE
    check(calls, granted(life.applied, "collect"))
    assert calls.queried <= indexed(life, COLLECTION_GROUP)
    assert {f"{kind.KIND}.{field}" for kind, field in CROSS_REPOSITORY_FIELDS} <= calls.queried


def test_the_publisher_may_do_what_it_calls(
    life: DeploymentLifecycle, deployed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = open_metadata(deployed.metadata)
    # Its address is refused, after its secret was opened. It gets the events of later changes alone.
    open_webhook_admin(deployed, metadata).add("https://127.0.0.1:1024/")
    metadata.close()
    app = create(deployed)
    use(Developer(Client(app)))
    app.registry.close()
    with fake_pubsub(deployed.events_topic, deployed.notifications_topic) as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        # One topic is down at first, which is noted at the events. Only CloudEvents have a type.
        pubsub.fault = lambda _, messages: None if "type" in messages[0]["attributes"] else error(503, "down")
        with recorded() as calls:
            reports = []
            for _ in range(2):
                metadata = open_metadata(deployed.metadata)
                deliver = open_delivery_run(deployed, metadata).run
                reports.append(PublishRuns(open_publisher(deployed, metadata), deliver).run())
                metadata.close()
                pubsub.fault = None
    assert reports[1].waiting == 0
    assert pubsub.messages[deployed.notifications_topic]
    assert any(report.deliveries for report in reports)
    check(calls, granted(life.applied, "publish"))


def indexed(life: DeploymentLifecycle, scope: str) -> set[str]:
    """The fields that are indexed for queries of a scope."""
    return {
        f"{name.split('/')[6]}.{name.split('/')[8]}"
        for name, field in life.applied.of("firestore/").items()
        if "/fields/" in name
        for index in field["indexConfig"].get("indexes", [])
        if index["queryScope"] == scope
    }


def test_the_indexes_are_those_of_the_queries(life: DeploymentLifecycle) -> None:
    for scope in (COLLECTION, COLLECTION_GROUP):
        needed = {f"{kind.KIND}.{each.field}" for kind in KINDS for each in indexes_of(kind) if each.scope == scope}
        assert indexed(life, scope) == needed


def test_no_other_field_of_any_kind_is_indexed(life: DeploymentLifecycle) -> None:
    fields = {name: field for name, field in life.applied.of("firestore/").items() if name.endswith("/fields/*")}
    assert {name.split("/")[6] for name in fields} == {kind.KIND for kind in KINDS}
    assert not any(field["indexConfig"].get("indexes") for field in fields.values())


def test_no_other_account_has_rights_where_layers_are(life: DeploymentLifecycle) -> None:
    bindings = life.applied.policies[f"storage/b/{PROJECT}-lading-blobs"]["bindings"]
    members = {member for binding in bindings for member in binding["members"]}
    accounts = {f"serviceAccount:{account_of(life.applied, function)}" for function in ("registry", "collect")}
    assert members == accounts | {f"projectOwner:{PROJECT}"}


def test_rights_on_records_end_at_the_database(life: DeploymentLifecycle) -> None:
    for binding in life.applied.policies[f"resource_manager/projects/{PROJECT}"]["bindings"]:
        if binding["role"].endswith("roles/lading_records"):
            expected = f'resource.name == "projects/{PROJECT}/databases/lading"'
            assert binding["condition"]["expression"] == expected


def test_the_build_reads_the_copies_of_the_source_and_no_bucket_that_is_only_called_like_theirs(
    life: DeploymentLifecycle,
) -> None:
    expressions = {
        binding["condition"]["expression"]
        for binding in life.applied.policies[f"resource_manager/projects/{PROJECT}"]["bindings"]
        if any(member.startswith("serviceAccount:lading-build@") for member in binding["members"])
        and "condition" in binding
    }
    copies = f"projects/_/buckets/gcf-v2-sources-{NUMBER}-europe-west1/"
    assert expressions == {f'resource.name.startsWith("{copies}")'}


def test_no_condition_begins_with_what_another_name_begins_with(life: DeploymentLifecycle) -> None:
    """A prefix in a condition ends with a slash."""
    for policy in life.applied.policies.values():
        for binding in policy["bindings"]:
            expression = binding.get("condition", {}).get("expression", "")
            assert all(prefix.endswith("/") for prefix in re.findall(r'startsWith\("([^"]*)"\)', expression)), binding


def test_only_the_scheduler_calls_the_collector(life: DeploymentLifecycle) -> None:
    service = f"cloud_run_v2/projects/{PROJECT}/locations/europe-west1/services/lading-collect"
    (binding,) = life.applied.policies[service]["bindings"]
    job = life.applied.resources[f"cloud_scheduler/projects/{PROJECT}/locations/europe-west1/jobs/lading-collect"]
    caller = job["httpTarget"]["oidcToken"]["serviceAccountEmail"]
    assert binding == {"role": "roles/run.invoker", "members": [f"serviceAccount:{caller}"]}
    assert settings.load_settings(settings_of(life.applied, "collect")).collector == caller


def test_only_the_account_of_events_calls_the_publisher(life: DeploymentLifecycle) -> None:
    service = f"cloud_run_v2/projects/{PROJECT}/locations/europe-west1/services/lading-publish"
    (binding,) = life.applied.policies[service]["bindings"]
    caller = f"serviceAccount:{settings.load_settings(settings_of(life.applied, 'publish')).publisher}"
    assert binding == {"role": "roles/run.invoker", "members": [caller]}
    granted_on = {
        (name, binding["role"])
        for name, policy in life.applied.policies.items()
        for binding in policy.get("bindings", [])
        if caller in binding["members"]
    }
    receiver = (f"resource_manager/projects/{PROJECT}", "roles/eventarc.eventReceiver")
    assert granted_on == {(service, "roles/run.invoker"), receiver}


def test_the_scanner_has_no_rights_and_only_the_scheduler_calls_it(life: DeploymentLifecycle) -> None:
    service = f"cloud_run_v2/projects/{PROJECT}/locations/europe-west1/services/lading-scan"
    read = settings.load_settings(settings_of(life.applied, "scan"))
    granted_on = {
        (name, member.removeprefix("serviceAccount:"))
        for name, policy in life.applied.policies.items()
        for binding in policy.get("bindings", [])
        for member in binding["members"]
        if member == f"serviceAccount:{read.scanner}" or name == service
    }
    assert granted_on == {(service, read.collector)}


def test_only_the_publisher_publishes_and_only_to_the_topics_of_events(
    lives: tuple[DeploymentLifecycle, DeploymentLifecycle],
) -> None:
    for life, notifications in zip(lives, ("lading-notifications", "gcr"), strict=True):
        publishers = {
            name.rpartition("/")[2]: binding["members"]
            for name, policy in life.applied.policies.items()
            for binding in policy.get("bindings", [])
            if name.startswith("pubsub/") and "pubsub.topics.publish" in permissions_of(life.applied, binding["role"])
        }
        publisher = [f"serviceAccount:{account_of(life.applied, 'publish')}"]
        assert publishers.pop("lading-events-dead") != publisher
        assert publishers == {"lading-events": publisher, notifications: publisher}


def test_the_scheduler_waits_for_a_slice_and_gives_up_before_the_lease_ends(life: DeploymentLifecycle) -> None:
    place = f"projects/{PROJECT}/locations/europe-west1"
    job = life.applied.resources[f"cloud_scheduler/{place}/jobs/lading-collect"]
    function = life.applied.resources[f"cloudfunctions2/{place}/functions/lading-collect"]
    deadline = timedelta(seconds=int(job["attemptDeadline"].removesuffix("s")))
    assert TIME_SLICE < deadline < LEASE_DURATION
    assert function["serviceConfig"]["timeoutSeconds"] == deadline.total_seconds()


def test_each_permission_says_which_call_needs_it() -> None:
    lines = (ROOT / "terraform" / "rights.tf").read_text().splitlines()
    permissions = [line for line in lines if line.strip().startswith('"')]
    assert len(permissions) > 10
    assert [line for line in permissions if "#" not in line] == []
    assert json.dumps(permissions).count("roles/") == 0
