"""The collections of resources that the fake control plane has: how ids are given, and what Google adds."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

PROJECT: Final = "fake-project"
NUMBER: Final = "123456789012"
STORAGE_AGENT: Final = f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
"""The account by which Cloud Storage itself uses keys."""
DAY: Final = "2026-01-01T00:00:00Z"

TAG: Final = "version_1"
"""The one tag of all images that builds of a function make."""

ANY_ORDER: Final = "any"
"""The order of a list that may be asked for without one."""

Resource = dict[str, Any]
Resources = dict[str, Resource]


@dataclass(frozen=True)
class Assumptions:
    """What the fake guesses, since Google documents it nowhere. Tests run with both answers.

    service_tells_digest  the image of a function's service is a digest, and not the constant tag
    """

    service_tells_digest: bool = False


def _no(*_: object) -> Any:
    return {}


def _yes(*_: object) -> bool:
    return True


def _long(name: str, resource: Resource) -> Any:
    """An operation that is done (google.longrunning)."""
    return {"name": f"operations/{abs(hash(name))}", "done": True, "response": resource}


def _compute(name: str, resource: Resource) -> Any:
    return {"kind": "compute#operation", "name": "operation-1", "status": "DONE", "targetLink": name}


def _at_once(name: str, resource: Resource) -> Any:
    return resource


@dataclass(frozen=True)
class Collection:
    """One collection.

    id         of a new resource, from query and body; "" where Google gives a number
    content    what is kept of a body that makes a resource
    computed   what Google adds: from the resource's name and its fields
    beside     what else is there then, by name: from what was there before, too
    valid      whether Google accepts a new resource, by its name and fields, and what is there
    listed     its list may be asked for, in this one order
    operation  the answer to a change
    put        made by a PUT of its own path
    always     there without being made
    """

    id: Callable[[Mapping[str, str], Resource], str] = lambda query, body: body.get("name", "")
    content: Callable[[Resource], Resource] = lambda body: body
    computed: Callable[[str, Resource], Resource] = _no
    beside: Callable[[str, Resource, Resources, Assumptions], Resources] = _no
    valid: Callable[[str, Resource, Resources], bool] = _yes
    listed: str = ""
    operation: Callable[[str, Resource], Any] = _at_once
    put: bool = False
    always: bool = False


def _query(name: str) -> Callable[[Mapping[str, str], Resource], str]:
    return lambda query, body: query[name]


def _body(name: str) -> Callable[[Mapping[str, str], Resource], str]:
    return lambda query, body: str(body[name])


def _inner(name: str) -> Callable[[Resource], Resource]:
    return lambda body: dict(body[name])


def _named(name: str, _: Resource) -> Resource:
    """A resource tells its own name, which is its path."""
    return {"name": name.partition("/")[2].removeprefix("v3/").removeprefix("v1/")}


def _bucket(name: str, bucket: Resource) -> Resource:
    return {
        "id": bucket["name"],
        "location": bucket["location"].upper(),
        "projectNumber": NUMBER,
        "timeCreated": DAY,
        "updated": DAY,
        "metageneration": "1",
    }


def _object(name: str, object: Resource) -> Resource:
    media = base64.b64decode(object["media"])
    return {
        "name": unquote(name.rpartition("/")[2]),
        "bucket": name.split("/")[2],
        "generation": "1",
        "metageneration": "1",
        "size": str(len(media)),
        "md5Hash": base64.b64encode(hashlib.md5(media, usedforsecurity=False).digest()).decode(),
        "storageClass": "STANDARD",
        "timeCreated": DAY,
    }


def _version(name: str, _: Resource) -> Resource:
    return {"name": name.partition("/")[2], "state": "ENABLED", "createTime": DAY}


def _account(name: str, account: Resource) -> Resource:
    email = f"{name.rpartition('/')[2]}"
    return {
        "name": f"projects/{PROJECT}/serviceAccounts/{email}",
        "email": email,
        "uniqueId": "1",
        "projectId": PROJECT,
    }


def _function(name: str, function: Resource) -> Resource:
    id = name.rpartition("/")[2]
    service = f"projects/{PROJECT}/locations/{name.split('/')[4]}/services/{id}"
    config = function["serviceConfig"] | {"service": service, "uri": f"https://{id}-abc.a.run.app"}
    config["allTrafficOnLatestRevision"] = True
    build = {"build": f"projects/{NUMBER}/locations/x/builds/1", "dockerRegistry": "ARTIFACT_REGISTRY"}
    return {
        "name": name.partition("/")[2],
        "state": "ACTIVE",
        "environment": "GEN_2",
        "url": f"https://{id}.cloudfunctions.net",
        "updateTime": DAY,
        "serviceConfig": config,
        "buildConfig": function["buildConfig"] | build,
    }


def _built(name: str, function: Resource, there: Resources, guesses: Assumptions) -> Resources:
    """Return what a build leaves: the function's service of Cloud Run, and its image in the repository of images.

    The images before lose the tag, which is the same for all builds (firebase-tools #7431). Google documents nowhere
    how the parts of a package's name are escaped.
    """
    build, id = function["buildConfig"], name.rpartition("/")[2]
    region, repository = name.split("/")[4], build["dockerRepository"]
    package = "__".join(part.replace("-", "--") for part in (PROJECT, region, id))
    source = f"{build['source']['storageSource']['object']} {build['runtime']}"
    digest = f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
    uri = f"{region}-docker.pkg.dev/{PROJECT}/{repository.rpartition('/')[2]}/{package}"
    before = f"artifact_registry/{repository}/dockerImages/{package}@"
    images = {each: {**image, "tags": []} for each, image in there.items() if each.startswith(before)}
    images[f"{before}{digest}"] = {
        "name": f"{repository}/dockerImages/{package}@{digest}",
        "uri": f"{uri}@{digest}",
        "tags": [TAG],
        "imageSizeBytes": "100000000",
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "uploadTime": DAY,
        "updateTime": DAY,
    }
    service = function["serviceConfig"]["service"]
    image = f"{uri}@{digest}" if guesses.service_tells_digest else f"{uri}:{TAG}"
    return {f"cloud_run_v2/{service}": {"name": service, "template": {"containers": [{"image": image}]}}, **images}


def _service(name: str, service: Resource) -> Resource:
    id, region = name.rpartition("/")[2], name.split("/")[4]
    return {
        "name": name.partition("/")[2],
        "uid": "1",
        "generation": "1",
        "uri": f"https://{id}-{NUMBER}.{region}.run.app",
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
        "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
        "createTime": DAY,
    }


def _compute_resource(name: str, resource: Resource) -> Resource:
    return {
        "id": "1",
        "selfLink": f"https://www.googleapis.com/compute/v1/{name.partition('/')[2]}",
        "fingerprint": "AA==",
    }


def _trigger(name: str, _: Resource) -> Resource:
    """Return what Eventarc adds to a trigger. The names of the topic and the subscription are guesses."""
    parts = name.split("/")
    transport = f"eventarc-{parts[4]}-{parts[6]}"
    return {
        "name": name.partition("/")[2],
        "uid": "1",
        "etag": "1",
        "createTime": DAY,
        "updateTime": DAY,
        "transport": {
            "pubsub": {
                "topic": f"projects/{PROJECT}/topics/{transport}",
                "subscription": f"projects/{PROJECT}/subscriptions/{transport}",
            }
        },
    }


def _transport(name: str, trigger: Resource, there: Resources, guesses: Assumptions) -> Resources:
    """Return the topic and the subscription that Eventarc makes for a trigger, and deletes with it."""
    pubsub = trigger["transport"]["pubsub"]
    return {
        f"pubsub/{pubsub['topic']}": {"name": pubsub["topic"]},
        f"pubsub/{pubsub['subscription']}": {"name": pubsub["subscription"], "topic": pubsub["topic"]},
    }


def _wakes_up(name: str, trigger: Resource, there: Resources) -> bool:
    """Return whether a trigger is one of a Firestore database in its location, for a service and an account.

    https://cloud.google.com/eventarc/docs/run/route-trigger-cloud-firestore, terraform-provider-google #17057
    """
    location = name.split("/")[4]
    filters = {(each["attribute"], each.get("operator", "")): each["value"] for each in trigger["eventFilters"]}
    database = there.get(f"firestore/projects/{PROJECT}/databases/{filters.get(('database', ''))}", {})
    run = trigger["destination"]["cloudRun"]
    account = f"projects/{PROJECT}/serviceAccounts/{trigger['serviceAccount'].rpartition('/')[2]}"
    return (
        filters.keys() == {("type", ""), ("database", ""), ("document", "match-path-pattern")}
        and filters["type", ""].startswith("google.cloud.firestore.document.v1.")
        and database.get("locationId") == location
        and f"cloud_run_v2/projects/{PROJECT}/locations/{run['region']}/services/{run['service']}" in there
        and f"iam_beta/{account}" in there
    )


def _of_a_topic(name: str, subscription: Resource, there: Resources) -> bool:
    return f"pubsub/{subscription['topic']}" in there


def _attestor(name: str, attestor: Resource) -> Resource:
    """Return what Binary Authorization adds: the account by which it reads attestations."""
    email = f"service-{NUMBER}@gcp-sa-binaryauthorization.iam.gserviceaccount.com"
    note = attestor["userOwnedGrafeasNote"] | {"delegationServiceAccountEmail": email}
    return {**_named(name, attestor), "userOwnedGrafeasNote": note, "updateTime": DAY}


def _note(name: str, note: Resource) -> Resource:
    return {**_named(name, note), "kind": "ATTESTATION", "createTime": DAY, "updateTime": DAY}


def _first_version(name: str, key: Resource, there: Resources, guesses: Assumptions) -> Resources:
    """Return the first version of a key that signs, which Cloud KMS makes with it."""
    version = f"{name}/cryptoKeyVersions/1"
    fields = {"algorithm": key["versionTemplate"]["algorithm"], "protectionLevel": "SOFTWARE"}
    made = {**fields, **_named(version, {}), "state": "ENABLED", "createTime": DAY}
    return {version: made, **_public_key(version, made, there, guesses)}


def _public_key(name: str, version: Resource, there: Resources, guesses: Assumptions) -> Resources:
    fields = {each: version[each] for each in ("name", "algorithm", "protectionLevel")}
    return {f"{name}/publicKey": {**fields, "pem": "-----BEGIN PUBLIC KEY-----\n", "pemCrc32c": "1"}}


_COMPUTE: Final = Collection(computed=_compute_resource, operation=_compute)

COLLECTIONS: Final = {
    "artifact_registry/projects/*/locations/*/repositories": Collection(
        _query("repository_id"), computed=_named, operation=_long
    ),
    "artifact_registry/projects/*/locations/*/repositories/*/dockerImages": Collection(listed="update_time desc"),
    "binary_authorization/projects/*/attestors": Collection(_query("attestorId"), computed=_attestor),
    "cloud_run_v2/projects/*/locations/*/services": Collection(_query("serviceId"), computed=_service, operation=_long),
    "cloud_scheduler/projects/*/locations/*/jobs": Collection(
        lambda query, body: body["name"].rpartition("/")[2], computed=lambda name, job: {"state": "ENABLED"}
    ),
    "cloudfunctions2/projects/*/locations/*/functions": Collection(
        _query("functionId"), computed=_function, beside=_built, operation=_long
    ),
    "compute/projects/*/global/*": _COMPUTE,
    "compute/projects/*/regions/*/*": _COMPUTE,
    "container_analysis/projects/*/notes": Collection(_query("noteId"), computed=_note),
    "eventarc/projects/*/locations/*/triggers": Collection(
        _query("triggerId"), computed=_trigger, beside=_transport, valid=_wakes_up, operation=_long
    ),
    "firestore/projects/*/databases": Collection(_query("databaseId"), computed=_named, operation=_long),
    "firestore/projects/*/databases/*/backupSchedules": Collection(lambda query, body: "", computed=_named),
    "firestore/projects/*/databases/*/collectionGroups/*/fields": Collection(always=True, operation=_long),
    "iam_beta/projects/*/roles": Collection(_body("roleId"), _inner("role"), _named),
    "iam_beta/projects/*/serviceAccounts": Collection(
        lambda query, body: f"{body['accountId']}@{PROJECT}.iam.gserviceaccount.com", _inner("serviceAccount"), _account
    ),
    "kms/projects/*/locations/*/keyRings": Collection(_query("keyRingId"), computed=_named),
    "kms/projects/*/locations/*/keyRings/*/cryptoKeys": Collection(
        _query("cryptoKeyId"), computed=_named, beside=_first_version
    ),
    "kms/projects/*/locations/*/keyRings/*/cryptoKeys/*/cryptoKeyVersions": Collection(
        beside=_public_key, listed=ANY_ORDER
    ),
    "logging/projects/*/metrics": Collection(),
    "monitoring/v1/projects/*/dashboards": Collection(lambda query, body: "", computed=_named),
    "monitoring/v3/projects/*/*": Collection(lambda query, body: "", computed=_named),
    "pubsub/projects/*/subscriptions": Collection(computed=_named, valid=_of_a_topic, put=True),
    "pubsub/projects/*/topics": Collection(computed=_named, put=True),
    "secret_manager/projects/*/secrets": Collection(_query("secretId"), computed=_named),
    "secret_manager/projects/*/secrets/*/versions": Collection(lambda query, body: "", computed=_version),
    "storage/b": Collection(computed=_bucket),
    "storage/b/*/managedFolders": Collection(),
    "storage/b/*/o": Collection(lambda query, body: query.get("name") or body["name"], computed=_object),
}
"""By their paths, where * is any one name."""
