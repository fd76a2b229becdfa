"""The commands: users, robots, keys, explain-access, login-help."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import bcrypt
import pytest

from lading.auth.access_files import read_users
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from tests.commands.tables import json_rows, table
from tests.support import fake_iam_world
from tests.support.fake_iam_world import BUCKET, PULL, PUSH, URL, FakeIamWorld, id_token, publish_certificates
from tests.support.server_process import basic, run_lading, serving

Run = Callable[..., subprocess.CompletedProcess[str]]
ALICE = "user:alice@example.com"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `lading WORDS…` to a good end, on one data folder, which holds an empty registry."""
    FilesystemBlobs(tmp_path / "data" / "blobs")
    SqliteMetadata(tmp_path / "data" / "metadata.sqlite").close()

    def run(*words: str, stdin: str = "", status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"LADING_DATA": str(tmp_path / "data")}
        environment |= {f"LADING_{name.upper()}": value for name, value in variables.items()}
        done = run_lading(words, tmp_path, environment, stdin)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_users_are_set_listed_and_removed_while_serving(run: Run, tmp_path: Path) -> None:
    run("users", "set", "alice", "--password-stdin", stdin="first\n")
    run("users", "set", "bob", stdin="second\n")
    assert table(run("users", "list").stdout) == [{"NAME": "alice"}, {"NAME": "bob"}]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": "users"}

    def status(user: str, password: str) -> int:
        return server.request("GET", "/v2/", headers={"Authorization": basic(user, password)})[0].status

    with serving(environment, tmp_path / "log") as server:
        assert [status("alice", "first"), status("bob", "second"), status("bob", "first")] == [200, 200, 401]
        run("users", "set", "alice", stdin="third\n")
        run("users", "remove", "bob")
        assert [status("alice", "first"), status("alice", "third"), status("bob", "second")] == [401, 200, 401]
    assert json_rows(run("users", "list", "--json").stdout) == [{"name": "alice"}]
    assert "admin" not in (tmp_path / "log").read_text(), "no first user where there are users"


NO_NAMES = ["a\u202eb", "a\u200bb", "", "a:b", "#a", "a b", "robot+x", " ", "*", "oauth2accesstoken", "_dcgcr_1_token"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_users_cannot_have(run: Run, name: str) -> None:
    assert "user's name" in run("users", "set", name, stdin="secret\n", status=1).stderr


def test_passwords_that_users_cannot_have(run: Run) -> None:
    for password in ("", "x" * 73):
        assert "from 1 to 72 bytes" in run("users", "set", "alice", stdin=f"{password}\n", status=1).stderr
    assert "no user bob" in run("users", "remove", "bob", status=1).stderr


def test_a_robot_lives_and_dies(run: Run, tmp_path: Path) -> None:
    made = run("robots", "create", "ci", "--repositories", "team/*", "--may", "pull,push", "--owner", "alice").stdout
    assert made.startswith("user      robot+ci\npassword  lading_")
    (listed,) = table(run("robots", "list").stdout)
    assert listed.pop("EXPIRES").startswith("20")
    assert listed == {"NAME": "ci", "MAY": "pull,push", "REPOSITORIES": "team/*", "OWNER": "alice"}
    assert "already" in run("robots", "create", "ci", "--repositories", "x", status=1).stderr
    rotated = run("robots", "rotate", "ci", "--overlap", "1h").stdout
    assert rotated.split()[-1] != made.split()[-1]
    run("robots", "create", "ever", "--repositories", "x", "--expires", "never")
    assert [row["EXPIRES"] for row in table(run("robots", "list").stdout)][1:] == ["never"]
    run("robots", "revoke", "ci")
    assert "no robot ci" in run("robots", "revoke", "ci", status=1).stderr
    assert [row["name"] for row in json_rows(run("robots", "list", "--json").stdout)] == ["ever"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--repositories", "Team"], "--repositories"),
        (["--repositories", ","], "--repositories"),
        (["--repositories", "a", "--may", "delete"], "--may"),
        (["--repositories", "a", "--expires", "soon"], "90d"),
    ],
)
def test_robots_that_cannot_be(run: Run, words: list[str], reason: str) -> None:
    assert reason in run("robots", "create", "ci", *words, status=1).stderr


def test_an_id_token_says_who_owns_a_robot(run: Run, world: FakeIamWorld) -> None:
    publish_certificates(world)
    run(
        "robots",
        "create",
        "ci1",
        "--repositories",
        "x",
        "--owner",
        "-",
        "--url",
        URL,
        stdin=id_token("eve@example.com"),
    )
    run("robots", "create", "ci3", "--repositories", "x", "--owner", "the.build.team")
    assert [row["OWNER"] for row in table(run("robots", "list").stdout)] == ["eve@example.com", "the.build.team"]

    foreign = id_token("eve@example.com", aud="https://other.example")
    words = ("robots", "create", "ci2", "--repositories", "x", "--url", URL, "--owner")
    assert "the ID token is not for" in run(*words, "-", stdin=foreign, status=1).stderr


def test_no_secret_is_taken_as_an_argument(run: Run, world: FakeIamWorld) -> None:
    """Every user of the machine can read the arguments of its processes, and shells keep them."""
    publish_certificates(world)
    token = id_token("bob@example.com")
    made = ("robots", "create", "ci", "--repositories", "x", "--owner", token, "--url", URL)
    assert "standard input" in run(*made, status=1).stderr
    for access, secret in ((f"gs://{BUCKET}", world.token("alice")), ("users", token)):
        words = ("explain-access", "--access", access, "--as", secret, "team/app", "pull")
        assert "standard input" in run(*words, status=1).stderr
    assert run("users", "set", "alice", "secret", status=2).stderr


def test_passwords_come_from_a_file_as_well(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes("pässword\r\nanother line\n".encode())
    run("users", "set", "alice", "--password-file", str(tmp_path / "password"))

    hashed = read_users((tmp_path / "data" / "users.htpasswd").read_text()).hashes["alice"]

    assert bcrypt.checkpw("pässword".encode(), hashed)
    absent = str(tmp_path / "absent")
    assert "cannot be read" in run("users", "set", "bob", "--password-file", absent, status=1).stderr


def test_the_first_password_goes_with_the_next_one(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "data" / "admin.password"
    for words in (("set", "admin"), ("remove", "admin")):
        file.write_text("first\n")
        run("users", "set", "alice", stdin="secret\n")
        assert file.exists()
        run("users", *words, stdin="secret\n")
        assert not file.exists()


def test_a_robots_secret_goes_into_a_file_of_its_own(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "secret"
    shown = run("robots", "create", "ci", "--repositories", "x", "--out", str(out)).stdout
    first = out.read_text().removesuffix("\n")
    assert first.startswith("lading_")
    assert first not in shown
    assert out.stat().st_mode & 0o777 == 0o600

    assert "exists" in run("robots", "rotate", "ci", "--out", str(out), status=1).stderr
    assert out.read_text().removesuffix("\n") == first
    run("robots", "rotate", "ci", "--out", str(tmp_path / "second"))
    assert (tmp_path / "second").read_text().removesuffix("\n") != first
    nowhere = str(tmp_path / "nowhere" / "secret")
    assert "folder" in run("robots", "create", "ci2", "--repositories", "x", "--out", nowhere, status=1).stderr
    assert len(table(run("robots", "list").stdout)) == 1, "no robot whose secret is lost"


def test_keys_are_rotated_while_serving(run: Run, tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": "users"}
    run("users", "set", "alice", stdin="secret\n")

    def token() -> str:
        answer = server.request("GET", "/v2/token", headers={"Authorization": basic("alice", "secret")})
        text: str = json.loads(answer[1])["token"]
        return text

    with serving(environment, tmp_path / "log") as server:
        before = token()
        assert " signs; trusted as well: " in run("keys", "rotate").stdout
        for each in (before, token()):
            headers = {"Authorization": f"Bearer {each}"}
            assert server.request("GET", "/v2/", headers=headers)[0].status == 200
    with serving(environment, tmp_path / "log2") as server:
        headers = {"Authorization": f"Bearer {before}"}
        assert server.request("GET", "/v2/", headers=headers)[0].status == 401, "the address is another one"


def test_new_keys_are_a_document(run: Run) -> None:
    assert json.loads(run("keys", "new").stdout).keys() == {"tokens", "robots"}


def test_access_is_explained_with_what_was_asked(run: Run, world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("team/", PULL, member=ALICE)
    words = ("explain-access", "--access", f"gs://{BUCKET}", "--as")

    allowed = run(*words, "-", "team/app", "pull", stdin=token).stdout
    refused = run(*words, "-", "team/app", "push", stdin=f"{token}\n", status=1).stdout
    unknown = run(*words, "-", "team/app", "push", stdin="ya29.wrong", status=1).stderr

    assert allowed.splitlines() == [
        "allowed: alice@example.com pull team/app",
        "  rule   storage.objects.get is granted on managed folder team/ of bucket policy",
        "  asked  managed folder team/app/ of bucket policy: no such folder",
        "  asked  managed folder team/ of bucket policy: storage.objects.get",
    ]
    assert refused.startswith("not allowed: alice@example.com push team/app\n")
    assert "storage.objects.create is not granted on managed folder team/" in refused
    assert "not allowed" in unknown
    assert "ya29" not in allowed + refused + unknown
    world.outage("storage", 500)
    assert "UNAVAILABLE" in run(*words, "-", "team/app", "pull", stdin=token, status=1).stderr


def test_access_is_explained_for_robots_users_and_anonymous_clients(run: Run) -> None:
    run("robots", "create", "ci", "--repositories", "team/*")
    run("users", "set", "alice", stdin="secret\n")

    def explained(who: str, name: str, action: str, status: int = 0) -> list[str]:
        words = ("explain-access", "--public", "library/*", "--as", who, name, action)
        return run(*words, status=status).stdout.splitlines()

    assert explained("robot+ci", "team/app", "pull") == [
        "allowed: robot+ci pull team/app",
        "  rule   the robot may pull on team/*",
    ]
    assert explained("robot+ci", "team/app", "push", 1)[0] == "not allowed: robot+ci push team/app"
    assert explained("a.b@c", "team/app", "pull", 1)[0] == "not allowed: a.b@c pull team/app"
    assert explained("alice", "team/app", "pull", 1)[0] == "not allowed: alice pull team/app"
    assert explained("anonymous", "library/x", "pull")[1] == "  rule   the repository is public"
    assert explained("anonymous", "team/app", "pull", 1)[0] == "not allowed: anonymous pull team/app"
    for unknown in ("allice", "a.b.c"):
        refused = run("explain-access", "--as", unknown, "library/x", "pull", status=1)
        assert (refused.stdout, refused.stderr.partition(" in ")[0]) == ("", f"lading: there is no user {unknown}")
    missing = run("explain-access", "--as", "robot+absent", "team/app", "pull", status=1).stderr
    assert "no robot absent" in missing
    assert "NAME_INVALID" in run("explain-access", "--as", "alice", "Team", "pull", status=1).stderr


def test_access_is_explained_on_a_project(run: Run, world: FakeIamWorld) -> None:
    world.project("artifactregistry.repositories.uploadArtifacts", member=ALICE)
    words, token = (
        ("explain-access", "--access", f"project://{fake_iam_world.PROJECT}", "--as", "-", "x"),
        world.token("alice"),
    )

    assert "allowed: alice@example.com push x" in run(*words, "push", stdin=token).stdout
    assert "not allowed: alice@example.com pull x" in run(*words, "pull", stdin=token, status=1).stdout


def test_login_help_is_for_the_host_at_hand(run: Run) -> None:
    printed = run("login-help", "registry.example.com").stdout

    for line in (
        "true\n  gcloud auth configure-docker registry.example.com --quiet\n",
        "gcloud config set artifacts/allow_unrecognized_registry true",
        "docker login -u oauth2accesstoken --password-stdin registry.example.com",
        "docker login -u _json_key --password-stdin registry.example.com < key.json",
        "docker-credential-gcr configure-docker",
        "docker login -u robot+NAME --password-stdin registry.example.com",
    ):
        assert line in printed
    assert "HOST" not in printed
    assert run("login-help", "https://registry.example.com/").stdout == printed
    assert "push localhost:5000/" in run("login-help", "localhost:5000").stdout
    assert "is not a host" in run("login-help", "https://", status=1).stderr


def test_a_registry_of_many_instances_is_told_where_keys_are(tmp_path: Path, world: FakeIamWorld) -> None:
    variables: Mapping[str, str] = {
        **os.environ,
        "K_SERVICE": "registry",
        "LADING_URL": "https://registry.example.com",
        "LADING_ACCESS": f"gs://{BUCKET}",
        "LADING_DATA": str(tmp_path / "data"),
    }

    done = run_lading(["serve", "--address", "0.0.0.0:8080"], tmp_path, variables)

    assert done.returncode == 1
    assert "--keys" in done.stderr


def test_what_everybody_may_do_needs_no_explanation(run: Run) -> None:
    printed = run("explain-access", "--access", "everybody", "--as", "anonymous", "x", "push").stdout

    assert printed.startswith("allowed: anonymous push x")
    assert PUSH not in printed
