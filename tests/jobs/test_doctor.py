"""`lading doctor` finds a good deployment in order, and says of a bad one what is wrong."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emulators import Emulators
from emulators.iam import IamEmulator
from emulators.processes import ProcessGroup, free_port
from lading.jobs.doctor.access import AccessFileChecks
from lading.jobs.doctor.checks import CheckState, Finding, run_checks
from lading.jobs.doctor.host import HostChecks
from lading.jobs.doctor.stores import StoreChecks
from lading.registry import owner_mark
from lading_storage.errors import Unavailable
from lading_storage.query import Query
from lading_storage.records.core import Upload
from lading_storage.stores import Stores
from tests.support.fake_cloud_services import redirecting_registry
from tests.support.fake_iam_world import FakeIamWorld
from tests.support.server_process import run_lading, serving, user_environment
from tests.support.store_hooks import Fault, hooked

ALL = ["host", "token", "rights", "anonymous", "clock", "HTTP/2", "bucket", "database", "indexes", "signing", "owner"]
ALL += ["proxies", "access", "modes"]
FRONT = ["version", "lengths", "large", "cut-off"]
ALL += FRONT
GRANTS = "admin * pull,push\nguest elsewhere/* pull\n"


def states(printed: str) -> dict[str, str]:
    """How each check ended, of what the command prints."""
    lines = [line.split() for line in printed.splitlines() if not line.startswith((" ", "STATE"))]
    return {name: state for state, name, *_ in lines}


def by_name(checks: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in run_checks(checks)}


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The settings of a registry that serves on a folder; `admin` may pull and push."""
    variables, _ = user_environment(tmp_path / "access")
    (tmp_path / "access" / "grants").write_text(GRANTS)
    environment = {**variables, "LADING_DATA": str(tmp_path / "data")}
    with serving(environment, tmp_path / "log") as server:
        yield {**environment, "LADING_URL": f"http://{server.host}"}


def test_a_folder_and_sqlite_in_order(local: Mapping[str, str], tmp_path: Path) -> None:
    done = run_lading(["doctor", "--user", "admin"], tmp_path, local, stdin="secret\n")

    assert done.returncode == 0, done.stdout
    assert states(done.stdout) == dict.fromkeys(ALL, "ok") | {"signing": "skipped", "proxies": "skipped"}
    assert "pull, push in lading/doctor" in done.stdout
    assert "not supported, HTTP/1.1 is; a body of 33 MiB passes" in done.stdout
    files = (tmp_path / "data" / "blobs").glob("*/*/*")
    left = [path for path in files if path.is_file() and path.parent.name != owner_mark.FOLDER]
    assert [path.stat().st_size for path in left] == [32], "a blob that admin may not delete"


def test_a_wrong_file_of_users_or_grants_is_found_with_its_line(tmp_path: Path) -> None:
    users_file, grants = tmp_path / "users", tmp_path / "grants"
    checks = AccessFileChecks("users", users_file, grants).checks()
    users_file.write_text(f"alice:$2y$05${'a' * 53}\n")
    grants.write_text("alice * pull\n* shared/* pull\n")
    assert by_name(checks)["access"].state is CheckState.OK
    assert by_name(checks)["access"].detail == "1 user, 1 with a weak hash (bcrypt cost below 10); 2 grants"

    for file, text, where in (
        (grants, "alice * pull\n# x\u2028mallory * push\n", "line 2, column 4 of the grants"),
        (users_file, "alice:plain\n", "line 1 of the users"),
    ):
        file.write_text(text)
        finding = by_name(checks)["access"]
        assert finding.state is CheckState.FAILED
        assert where in finding.detail
    assert by_name(AccessFileChecks("everybody", users_file, grants).checks())["access"].state is CheckState.SKIPPED


@pytest.fixture(scope="module")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    with ProcessGroup() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


def test_cloud_storage_and_firestore_in_order_and_signing_with_another_key(
    emulators: Emulators, iam: IamEmulator, tmp_path: Path
) -> None:
    with redirecting_registry("hmac", emulators, FakeIamWorld(iam), tmp_path) as registry:
        environment = {**registry.environment, "LADING_URL": f"http://{registry.server.host}"}

        done = run_lading(["doctor", "--user", "admin"], tmp_path, environment, stdin="secret")

        assert done.returncode == 0, done.stdout
        assert states(done.stdout) == dict.fromkeys(ALL, "ok") | {"proxies": "skipped"}

        (tmp_path / "hmac").write_text("GOOG1EACCESS another-secret")
        done = run_lading(["doctor"], tmp_path, environment)
        assert done.returncode == 1
        assert states(done.stdout)["signing"] == "FAILED"
        assert "SignatureDoesNotMatch" in done.stdout
        assert "another-secret" not in done.stdout


def test_nothing_is_left_in_the_stores(stores: Stores) -> None:
    findings = by_name(StoreChecks(lambda: stores.blobs, lambda: stores.metadata, in_cloud=True).checks())

    assert findings["signing"].state is CheckState.FAILED, "nobody has a key here"
    assert "--impersonate-service-account" in findings["signing"].remedy
    assert {findings[name].state for name in ("bucket", "database", "indexes")} == {CheckState.OK}
    assert stores.blobs.names("", limit=10) == []
    assert stores.metadata.find(Query(Upload, limit=10)) == []


@pytest.mark.parametrize("method", ["append", "open", "names", "delete"])
def test_a_bucket_that_fails(stores: Stores, method: str) -> None:
    broken = hooked(stores, Fault(method, Unavailable("it is broken")))
    checks = StoreChecks(lambda: broken.blobs, lambda: stores.metadata, in_cloud=False).checks()

    finding = by_name(checks)["bucket"]

    assert finding.state is CheckState.FAILED
    left = stores.blobs.names("", limit=10)
    if method == "delete":
        assert finding.detail in [f"it is broken; the object {name} is left" for name in left]
        assert "lading scrub --repair" in finding.remedy
    else:
        assert (finding.detail, left) == ("it is broken", [])
    assert "roles/storage.objectUser" in finding.remedy


@pytest.mark.parametrize(
    ("method", "failed"), [("commit", "database"), ("read", "database"), ("find", "indexes"), ("due", "indexes")]
)
def test_a_database_that_fails(stores: Stores, method: str, failed: str) -> None:
    broken = hooked(stores, Fault(method))
    checks = StoreChecks(lambda: stores.blobs, lambda: broken.metadata, in_cloud=False).checks()

    findings = by_name(checks)

    assert [name for name, finding in findings.items() if finding.state is CheckState.FAILED] == [failed]
    assert findings[failed].remedy


def test_a_record_that_cannot_be_deleted_is_named(stores: Stores) -> None:
    commits = itertools.count(1)
    second = hooked(stores, Fault("commit", when=lambda arguments: next(commits) > 1))
    checks = StoreChecks(lambda: stores.blobs, lambda: second.metadata, in_cloud=False).checks()

    finding = by_name(checks)["database"]

    (session,) = stores.metadata.find(Query(Upload, limit=10))
    assert finding.state is CheckState.FAILED
    assert f"the ended upload session {session.id} is left" in finding.detail


def test_stores_that_are_not_there(local: Mapping[str, str], emulators: Emulators, tmp_path: Path) -> None:
    done = run_lading(["doctor", "--data", "elsewhere"], tmp_path, local)
    assert done.returncode == 1
    assert states(done.stdout)["bucket"] == states(done.stdout)["database"] == "FAILED"
    assert not (tmp_path / "elsewhere").exists(), "asking makes nothing"

    away = {
        **emulators.fresh_stores(),
        "LADING_BLOBS": "gs://absent",
        "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
    }
    done = run_lading(["doctor"], tmp_path, {**local, **away})
    assert done.returncode == 1
    assert states(done.stdout) == {
        **dict.fromkeys(["host", "anonymous", "clock", "HTTP/2", "access", "modes"], "ok"),
        **dict.fromkeys(["token", "rights", "signing", "owner", "proxies", *FRONT], "skipped"),
        **dict.fromkeys(["bucket", "database", "indexes"], "FAILED"),
    }
    assert "Traceback" not in done.stderr


def test_credentials_that_are_not_good_enough(local: Mapping[str, str], tmp_path: Path) -> None:
    known = tmp_path / "access" / "users"
    known.write_text(known.read_text() + known.read_text().replace("admin", "guest"))

    refused = run_lading(["doctor", "--user", "admin"], tmp_path, local, stdin="wrong")
    powerless = run_lading(["doctor", "--user", "guest"], tmp_path, local, stdin="secret")

    assert (states(refused.stdout)["token"], states(refused.stdout)["rights"]) == ("FAILED", "skipped")
    assert (states(powerless.stdout)["token"], states(powerless.stdout)["rights"]) == ("ok", "FAILED")


def test_a_host_that_is_not_there() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    for url in (f"http://{nowhere}", f"https://{nowhere}"):
        findings = by_name(HostChecks(url, None, "a").checks())
        assert findings["host"].state is CheckState.FAILED
        assert "check that the registry is running" in findings["host"].remedy
        assert {finding.state for name, finding in findings.items() if name != "host"} == {CheckState.SKIPPED}


def test_a_host_of_another_name(local: Mapping[str, str], tmp_path: Path) -> None:
    """The registry sends clients to 127.0.0.1 for a token: a client of another name may not reach it."""
    url = local["LADING_URL"].replace("127.0.0.1", "localhost")

    done = run_lading(["doctor", "--url", url], tmp_path, local)

    assert states(done.stdout)["host"] == "FAILED"
    assert f"set LADING_URL={url}" in done.stdout


def test_tls_that_is_none(local: Mapping[str, str]) -> None:
    findings = by_name(HostChecks(local["LADING_URL"].replace("http:", "https:"), None, "a").checks())

    assert findings["host"].state is CheckState.FAILED
    assert "certificate" in findings["host"].remedy


def test_from_elsewhere_only_what_was_named_is_checked(local: Mapping[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "laptop"
    elsewhere.mkdir()

    done = run_lading(["doctor", "--url", local["LADING_URL"], "--user", "admin"], elsewhere, stdin="secret\n")

    assert done.returncode == 0, done.stdout
    checked = {"host", "token", "rights", "anonymous", "clock", "HTTP/2", *FRONT}
    assert states(done.stdout) == dict.fromkeys(checked, "ok") | {"proxies": "skipped", "stores": "skipped"}
    named = run_lading(["doctor", "--url", local["LADING_URL"], "--data", "absent"], elsewhere)
    assert states(named.stdout)["database"] == "FAILED"
    assert not list(elsewhere.iterdir())
