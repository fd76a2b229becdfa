"""The documents of keys: in a file, and in Secret Manager."""

import json
import threading
from pathlib import Path

import pytest

from lading.auth.google.secret_manager import EMULATOR_CREDENTIAL, SecretManagerKeyStore
from lading.auth.keys import KeyFile, Keys, KeyStore, from_json, generate_keys, rotate, to_json
from lading_storage.errors import Corrupt, StorageError, Unavailable
from tests.support.fake_iam_world import PLATFORM_SCOPE, FakeIamWorld

RIGHTS = {"serviceAccount:lading@p.iam.gserviceaccount.com": [f"secretmanager.versions.{v}" for v in ("access", "add")]}


@pytest.fixture
def secret(world: FakeIamWorld) -> KeyStore:
    """A secret with keys, which the registry's own account may read and write."""
    email = "lading@p.iam.gserviceaccount.com"
    world.fields["tokens"] = {EMULATOR_CREDENTIAL: {"email": email, "scope": PLATFORM_SCOPE}}
    world.fields["secrets"] = {"p/keys": {"bindings": RIGHTS}}
    world.save()
    store = SecretManagerKeyStore("p", "keys")
    store.save(generate_keys())
    return store


@pytest.fixture(params=["file", "secret"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    if request.param == "file":
        return KeyFile(tmp_path / "folder" / "keys.json")
    made: KeyStore = request.getfixturevalue("secret")
    return made


def test_what_is_saved_is_loaded(store: KeyStore) -> None:
    before = store.load()
    assert store.load() == before

    store.save(rotate(before))

    after = store.load()
    assert after.tokens[1] == before.tokens[0]
    assert after.tokens[0] not in before.tokens
    assert after.robots == before.robots


def test_two_keys_are_alive_and_the_third_ends_the_first() -> None:
    first = generate_keys()
    second, third = rotate(first), rotate(rotate(first))

    assert [key.id for key in second.tokens][1:] == [key.id for key in first.tokens]
    assert [key.id for key in third.tokens][1:] != [key.id for key in first.tokens]
    assert len(third.tokens) == 2


def test_keys_have_256_bits_and_no_two_are_alike() -> None:
    made = [generate_keys() for _ in range(10)]
    secrets = {keys.tokens[0].secret for keys in made} | {keys.robots for keys in made}

    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {32}


def test_no_key_shows_itself() -> None:
    keys = generate_keys()

    for secret in (keys.robots, keys.tokens[0].secret):
        assert repr(secret) not in repr(keys) + repr(keys.tokens[0]) + str(keys)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = KeyFile(tmp_path / "keys.json")
    store.load()
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    store.save(generate_keys())
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_of_many_that_start_at_once_one_makes_the_keys(tmp_path: Path) -> None:
    loaded: list[Keys] = []
    barrier = threading.Barrier(16)

    def load() -> None:
        barrier.wait()
        loaded.append(KeyFile(tmp_path / "keys.json").load())

    threads = [threading.Thread(target=load) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(loaded) == 16
    assert len({keys.robots for keys in loaded}) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"tokens": [], "robots": ""}',
        json.dumps({"tokens": [], "robots": "A" * 44}).encode(),
        json.dumps({"tokens": [{"kid": "k", "key": "QUJD"}], "robots": "A" * 44}).encode(),
        json.dumps({"tokens": [{"kid": "k", "key": "A" * 44}], "robots": "QUJD"}).encode(),
        json.dumps({"tokens": [{"key": "A" * 44}], "robots": "A" * 44}).encode(),
    ],
)
def test_a_document_that_is_none_is_refused_and_not_shown(document: bytes, tmp_path: Path) -> None:
    with pytest.raises(Corrupt) as raised:
        from_json(document)
    assert "AAAA" not in str(raised.value)
    (tmp_path / "keys.json").write_bytes(document)
    with pytest.raises(StorageError):
        KeyFile(tmp_path / "keys.json").load()
    assert (tmp_path / "keys.json").read_bytes() == document


def test_json_and_back() -> None:
    keys = rotate(generate_keys())

    assert from_json(to_json(keys)) == keys


def test_a_secret_that_cannot_be_read_is_a_fault_and_makes_no_new_keys(secret: KeyStore, world: FakeIamWorld) -> None:
    world.outage("v1/projects/p/secrets", 503)
    with pytest.raises(Unavailable):
        secret.load()
    world.outage("v1/projects/p/secrets", 403)
    with pytest.raises(Unavailable):
        secret.load()
