"""Files of policies: their formats, the keys that they name, and their schema."""

import base64
import json
import re
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Final

import jsonschema  # type: ignore[import-untyped]  # of cyclonedx-python-lib[json-validation]
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lading.policies.field_kinds import PolicyError
from lading.policies.policy_file import parse_policies, read_policies
from lading.policies.policy_json import policies_of, values_of
from lading.policies.policy_schema import schema
from lading.signatures.public_keys import fingerprint
from tests.policies.certificates import certificate
from tests.policies.examples import FULL, KEYS, table

ROOT: Final = Path(__file__).parents[2]

TOML: Final = """
[[policies]]
name = "prod"
repositories = ["prod/*"]
signatures.keys = [{name = "release", file = "keys/cosign.pub"}]
exceptions = [{image = "prod/legacy", until = 2027-01-31, reason = "legacy"},
              {image = "prod/old", until = 2027-01-31T12:00:00Z, reason = "legacy"}]
"""

YAML: Final = """
policies:
- name: prod
  repositories: ["prod/*"]
  signatures: {keys: [{name: release, file: keys/cosign.pub}]}
  exceptions:
  - {image: prod/legacy, until: 2027-01-31, reason: legacy}
  - {image: prod/old, until: 2027-01-31T12:00:00Z, reason: legacy}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "cosign.pub").write_text(KEYS["release"])
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_toml_json_and_yaml_say_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_policies(write(folder, "p.toml", TOML))
    assert values_of(found)[0]["signatures"]["keys"] == [{"name": "release", "pem": KEYS["release"]}]
    assert read_policies(write(folder, "p.yaml", YAML)) == found
    assert read_policies(write(folder, "p.json", found)) == found
    # A file of a key is beside the policies, wherever the command runs.
    monkeypatch.chdir("/")
    assert read_policies(folder / "p.toml") == found


def test_a_file_of_rules_is_none_of_policies(folder: Path) -> None:
    file = write(folder, "rules.toml", '[rules]\npolicies = "p.toml"\n')
    with pytest.raises(PolicyError, match="no field 'rules'; there are version, policies; a file of rules is for"):
        read_policies(file)


def test_a_request_names_no_files(folder: Path) -> None:
    write(folder, "p.toml", TOML)
    with pytest.raises(PolicyError, match="names a file: put its content here, as pem"):
        parse_policies(TOML, ".toml", None, "the request")


YAML_MISTAKES: Final = {
    "an anchor": ("policies: &a []\nother: *a\n", "anchors and aliases are not allowed, line 1"),
    "a merge": ("policies:\n- <<: {name: x}\n", "could not determine a constructor"),
    "a key twice": ("policies: []\npolicies: []\n", "'policies' is there twice, line 2"),
    "a number as a key": ("1: []\n", "a key is text, line 1"),
    "a tag": ("policies: !!python/object:os.system []\n", "could not determine a constructor"),
    "nothing that is YAML": ("policies: [\n", "is not YAML"),
    "two documents": ("policies: []\n---\npolicies: []\n", "is not YAML"),
}


@pytest.mark.parametrize("name", YAML_MISTAKES)
def test_yaml_means_what_it_looks_like(folder: Path, name: str) -> None:
    text, message = YAML_MISTAKES[name]
    with pytest.raises(PolicyError, match=re.escape(message)):
        read_policies(write(folder, "p.yaml", text))


def key_file(folder: Path, text: bytes) -> Path:
    (folder / "keys" / "cosign.pub").write_bytes(text)
    return write(folder, "p.toml", TOML)


def test_a_private_key_is_refused(folder: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(PolicyError, match="is a private key: replace it"):
        read_policies(key_file(folder, pem))


def test_a_weak_key_is_refused(folder: Path) -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    with pytest.raises(PolicyError, match="1024 bits, fewer than 2048"):
        read_policies(key_file(folder, weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)))


def test_a_key_is_stored_as_its_fingerprint_is_computed(folder: Path) -> None:
    """A compressed point is another encoding of the same key, and signatures are verified with the key."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    compressed = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed
    body = base64.b64encode(der).decode()
    path = key_file(folder, f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n".encode())
    (policy,) = policies_of(read_policies(path))
    (requirement,) = policy.signature_requirements()
    assert requirement.keys[0].fingerprint == fingerprint(key)


@pytest.mark.parametrize(
    ("file", "message"),
    [("absent.pub", "cannot be read: No such file"), (".", "cannot be read: Is a directory"), ("", "is a path")],
)
def test_a_file_that_cannot_be_read_is_named(folder: Path, file: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        read_policies(write(folder, "p.toml", TOML.replace("keys/cosign.pub", file)))


def test_the_schema_is_that_of_the_fields() -> None:
    written = json.loads((ROOT / "docs" / "policies.schema.json").read_text())
    assert written == schema(), "run lading policy schema > docs/policies.schema.json"
    jsonschema.Draft202012Validator.check_schema(written)
    validator = jsonschema.Draft202012Validator(written)
    validator.validate({"version": 1, "policies": [FULL]})
    file = {"name": "x", "file": "cosign.pub"}
    validator.validate({"policies": [table(signatures={"keys": [file]})]})
    for wrong in (table(scna={}), table(signatures={"keys": [file | {"pem": KEYS["release"]}]}), table(name="A")):
        assert not validator.is_valid({"policies": [wrong]})


EXAMPLES: Final = [
    textwrap.dedent(each) for each in re.findall(r"(?s)```toml\n(.*?)```", (ROOT / "docs" / "policies.md").read_text())
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_page_can_be_used(folder: Path, example: str) -> None:
    (folder / "cosign.pub").write_text(KEYS["release"])
    (folder / "ca.pem").write_text(certificate(timedelta(0), timedelta(days=1)))
    assert values_of(read_policies(write(folder, "p.toml", example)))


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 7
