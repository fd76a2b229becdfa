"""The fake of IAM is as strict as the real one: Google's own client and its discovery documents say what is right."""

import base64
import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build  # type: ignore[import-untyped]
from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

from emulators.iam import IamEmulator
from emulators.iam_calls import CALLS
from emulators.processes import ProcessGroup
from tests.support import fake_iam_world
from tests.support.fake_iam_world import BUCKET, PROJECT, PULL, PUSH, SERVICE_ACCOUNT, FakeIamWorld

BINDINGS = {"user:alice@example.com": ["secretmanager.versions.access", "secretmanager.versions.add"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeIamWorld]:
    """A world with alice, a bucket with folders, a project, a service account and a secret."""
    with ProcessGroup() as family:
        made = FakeIamWorld(IamEmulator.start(family, tmp_path_factory.mktemp("iam")))
        made.token("alice")
        made.token("narrow", fake_iam_world.READ_ONLY_SCOPE)
        made.folder("", PULL, member="user:alice@example.com")
        made.folder("team-a/", PUSH, member="user:alice@example.com")
        made.folder("team-a/web/", member="user:nobody@example.com")
        made.project("artifactregistry.repositories.downloadArtifacts", member="user:alice@example.com")
        fake_iam_world.register_service_account(made)
        fake_iam_world.publish_certificates(made)
        made.fields["serviceAccounts"] = {SERVICE_ACCOUNT: {"user:alice@example.com": ["iam.serviceAccounts.signBlob"]}}
        made.fields["secrets"] = {f"{PROJECT}/keys": {"bindings": BINDINGS}}
        made.save()
        yield made


Service = Callable[..., Any]


@pytest.fixture
def service(world: FakeIamWorld) -> Iterator[Service]:
    """Makes Google's client of an API, of its discovery document, at the fake."""
    with contextlib.ExitStack() as stack:

        def make(name: str, version: str, path: str = "", token: str = "ya29.alice") -> Any:
            return stack.enter_context(contextlib.closing(client(world, name, version, path, token)))

        yield make


def client(world: FakeIamWorld, name: str, version: str, path: str, token: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(
            name,
            version,
            credentials=Credentials(token),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": f"{world.iam.url}/{path}"},
            static_discovery=True,
            cache_discovery=False,
        )


def schema(document: str, name: str) -> Mapping[str, Any]:
    """The fields of a type, as a discovery document has them."""
    text = files("googleapiclient.discovery_cache").joinpath("documents", f"{document}.json").read_text()
    properties: Mapping[str, Any] = json.loads(text)["schemas"][name]["properties"]
    return properties


def status_of(request: Any) -> int:
    """What Google's client is answered; a 401 it takes for a token to refresh, which cannot be done."""
    with pytest.raises((HttpError, RefreshError)) as raised:
        request.execute()
    return 401 if isinstance(raised.value, RefreshError) else int(raised.value.resp.status)


def test_storage_answers_googles_own_client(service: Service) -> None:
    storage = service("storage", "v1", "storage/v1/")
    fields = schema("storage.v1", "TestIamPermissionsResponse")
    asked = [PULL, PUSH, fake_iam_world.DELETE]

    on_bucket = storage.buckets().testIamPermissions(bucket=BUCKET, permissions=asked).execute()
    on_folder = (
        storage.managedFolders()
        .testIamPermissions(bucket=BUCKET, managedFolder="team-a/web/", permissions=asked)
        .execute()
    )

    assert on_bucket == {"kind": "storage#testIamPermissionsResponse", "permissions": [PULL]}
    assert on_folder["permissions"] == [PULL, PUSH], "rights come down from the bucket and the folder above"
    assert on_folder.keys() <= fields.keys()
    assert on_folder["kind"] == fields["kind"]["default"]


def test_storage_says_no_as_the_real_one_does(service: Service) -> None:
    storage = service("storage", "v1", "storage/v1/")
    unknown = service("storage", "v1", "storage/v1/", "ya29.unknown")
    folders = storage.managedFolders()

    assert status_of(unknown.buckets().testIamPermissions(bucket=BUCKET, permissions=[PULL])) == 401
    assert status_of(storage.buckets().testIamPermissions(bucket="absent", permissions=[PULL])) == 404
    absent = folders.testIamPermissions(bucket=BUCKET, managedFolder="absent/", permissions=[PULL])
    assert status_of(absent) == 404
    assert status_of(storage.buckets().testIamPermissions(bucket=BUCKET, permissions=["nonsense"])) == 400


def test_the_project_answers_googles_own_client(service: Service) -> None:
    projects = service("cloudresourcemanager", "v1").projects()
    asked = {"permissions": ["artifactregistry.repositories.downloadArtifacts", "a.b.c"]}

    answer = projects.testIamPermissions(resource=PROJECT, body=asked).execute()

    assert answer == {"permissions": ["artifactregistry.repositories.downloadArtifacts"]}
    assert answer.keys() <= schema("cloudresourcemanager.v1", "TestIamPermissionsResponse").keys()
    assert projects.testIamPermissions(resource=PROJECT, body={"permissions": ["a.b.c"]}).execute() == {}
    assert status_of(projects.testIamPermissions(resource="absent", body=asked)) == 403
    for token, status in (("ya29.unknown", 401), ("ya29.narrow", 403)):
        others = service("cloudresourcemanager", "v1", token=token).projects()
        assert status_of(others.testIamPermissions(resource=PROJECT, body=asked)) == status


def test_sign_blob_answers_googles_own_client(service: Service) -> None:
    accounts = service("iamcredentials", "v1").projects().serviceAccounts()
    body = {"payload": base64.b64encode(b"to be signed").decode()}

    answer = accounts.signBlob(name=f"projects/-/serviceAccounts/{SERVICE_ACCOUNT}", body=body).execute()

    assert answer.keys() == schema("iamcredentials.v1", "SignBlobResponse").keys()
    signed = base64.b64decode(answer["signedBlob"])
    fake_iam_world.private_key().public_key().verify(signed, b"to be signed", PKCS1v15(), SHA256())
    assert status_of(accounts.signBlob(name="projects/-/serviceAccounts/other@x.iam", body=body)) == 403


def test_secret_manager_answers_googles_own_client(world: FakeIamWorld, service: Service) -> None:
    secrets = service("secretmanager", "v1").projects().secrets()
    name = f"projects/{PROJECT}/secrets/keys"
    data = base64.b64encode(b"a secret").decode()

    assert status_of(secrets.versions().access(name=f"{name}/versions/latest")) == 404
    added = secrets.addVersion(parent=name, body={"payload": {"data": data}}).execute()
    read = secrets.versions().access(name=f"{name}/versions/latest").execute()

    assert added.keys() <= schema("secretmanager.v1", "SecretVersion").keys()
    assert read == {"name": f"{name}/versions/1", "payload": {"data": data}}
    assert read.keys() <= schema("secretmanager.v1", "AccessSecretVersionResponse").keys()
    world.fields["secrets"][f"{PROJECT}/keys"]["versions"] = [data]
    narrow = service("secretmanager", "v1", token="ya29.narrow").projects().secrets()
    assert status_of(narrow.versions().access(name=f"{name}/versions/latest")) == 403


def test_tokeninfo_knows_access_tokens_and_nothing_else(world: FakeIamWorld) -> None:
    def ask(**body: Any) -> requests.Response:
        return requests.post(f"{world.iam.url}/tokeninfo", timeout=10, **body)

    known = ask(data={"access_token": "ya29.alice"}).json()
    # The discovery document has the older version of it, whose names are the same where both have them.
    assert known.keys() & schema("oauth2.v2", "Tokeninfo").keys() == {"email", "expires_in", "scope"}
    assert (known["email"], known["email_verified"]) == ("alice@example.com", "true")
    for data in ({"access_token": "ya29.unknown"}, {"access_token": fake_iam_world.id_token()}):
        answer = ask(data=data)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_token")
    assert ask(data={"id_token": "x"}).status_code == 400
    assert ask(params={"access_token": "in-the-query"}).status_code == 400


def test_the_certificates_are_a_jwks(world: FakeIamWorld) -> None:
    keys = requests.get(f"{world.iam.url}/oauth2/v3/certs", timeout=10).json()["keys"]

    assert [(key["kid"], key["kty"], key["use"]) for key in keys] == [("google-1", "RSA", "sig")]


WRONG = [
    ("GET", "storage/v1/b/policy/iam/testPermissions", {}),
    ("GET", "storage/v1/b/policy/iam/testPermissions", {"params": {"permissions": PULL, "extra": "1"}}),
    ("GET", "storage/v1/b/policy/iam/testPermissions", {"params": {"permissions": PULL}, "data": b"body"}),
    ("POST", f"v1/projects/{PROJECT}:testIamPermissions", {"json": {}}),
    ("POST", f"v1/projects/{PROJECT}:testIamPermissions", {"json": {"permissions": []}}),
    ("POST", f"v1/projects/{PROJECT}:testIamPermissions", {"json": {"permissions": ["a.b.c"], "extra": 1}}),
    ("POST", f"v1/projects/{PROJECT}:testIamPermissions", {"data": b'{"permissions": ["a.b.c"]}'}),
    ("POST", f"v1/projects/{PROJECT}:testIamPermissions", {"json": {"permissions": ["a.b.c"]}, "params": {"x": "1"}}),
    ("POST", f"v1/projects/-/serviceAccounts/{SERVICE_ACCOUNT}:signBlob", {"json": {"payload": "not base64!"}}),
    ("GET", "oauth2/v3/certs", {"params": {"x": "1"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRONG)
def test_a_word_too_many_or_too_few_is_refused(
    world: FakeIamWorld, method: str, path: str, body: dict[str, Any]
) -> None:
    headers = {"Authorization": "Bearer ya29.alice"}

    answer = requests.request(method, f"{world.iam.url}/{path}", headers=headers, timeout=10, **body)

    assert answer.status_code == 400


@pytest.mark.parametrize(("method", "path"), [("GET", "storage/v1/b/policy/o"), ("DELETE", "oauth2/v3/certs")])
def test_there_are_no_other_calls(world: FakeIamWorld, method: str, path: str) -> None:
    assert requests.request(method, f"{world.iam.url}/{path}", timeout=10).status_code in (404, 501)


def status_of_self_signed(world: FakeIamWorld, **claims: Any) -> int:
    headers = {"Authorization": f"Bearer {fake_iam_world.self_signed(**claims)}"}
    url = f"{world.iam.url}/storage/v1/b/{BUCKET}/iam/testPermissions"
    return requests.get(url, params={"permissions": PULL}, headers=headers, timeout=10).status_code


def test_a_self_signed_token_is_checked(world: FakeIamWorld) -> None:
    assert status_of_self_signed(world) == 200
    assert status_of_self_signed(world, key=fake_iam_world.private_key(1)) == 401
    assert status_of_self_signed(world, kid="other") == 401
    assert status_of_self_signed(world, sub="other@x") == 401
    assert status_of_self_signed(world, scope="openid") == 401
    assert status_of_self_signed(world, exp=9_999_999_999) == 401


def test_a_self_signed_token_has_a_scope_or_the_audience_of_the_api(world: FakeIamWorld) -> None:
    assert status_of_self_signed(world, scope=None, aud=fake_iam_world.STORAGE) == 200
    assert status_of_self_signed(world, scope=None, aud="https://pubsub.googleapis.com/") == 401
    assert status_of_self_signed(world, scope=None) == 401
    assert status_of_self_signed(world, aud=fake_iam_world.STORAGE) == 401


@pytest.mark.parametrize("status", [404, 403])
def test_a_folder_that_is_not_there_is_answered_as_the_world_says(
    world: FakeIamWorld, service: Service, status: int
) -> None:
    world.missing_folders(status)
    storage = service("storage", "v1", "storage/v1/")

    absent = storage.managedFolders().testIamPermissions(bucket=BUCKET, managedFolder="absent/", permissions=[PULL])

    assert status_of(absent) == status


@pytest.mark.parametrize("status", [400, 403, 404])
def test_tokeninfo_refuses_by_the_kind_of_token(world: FakeIamWorld, status: int) -> None:
    def asked(token: str) -> int:
        return requests.post(f"{world.iam.url}/tokeninfo", data={"access_token": token}, timeout=10).status_code

    federated, hidden = world.federated("s"), world.token("hidden", fake_iam_world.READ_ONLY_SCOPE, tokeninfo=404)
    other = 404 if status == 403 else 403
    world.tokeninfo(unknown=status, federated=other, self_signed=other)

    assert asked("ya29.unknown") == status
    assert asked(federated) == other
    assert asked(fake_iam_world.self_signed()) == other
    assert asked(hidden) == 404
    assert asked("ya29.alice") == 200


def test_each_call_is_tried_here() -> None:
    """A call that is added must be added above, too."""
    assert {handler.__name__ for _, _, handler in CALLS} == {
        "test_bucket",
        "test_folder",
        "test_project",
        "token_info",
        "certificates",
        "sign_blob",
        "access_secret",
        "add_secret_version",
    }


def test_no_request_leaves_its_token_in_the_log(world: FakeIamWorld) -> None:
    assert "ya29" not in Path(world.iam.log).read_text()
