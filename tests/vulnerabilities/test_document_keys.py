"""Keys of documents about images: from a file, or a folder; what cannot be used is named."""

import json
from pathlib import Path

import pytest

from lading.scan_composition import honour_documents
from lading.settings import SettingsError, load_settings
from lading.signatures.public_keys import KeyInvalid, fingerprint
from lading.vulnerabilities import document_keys
from lading.vulnerabilities.document_keys import DocumentKeys, load_keys
from lading.vulnerabilities.openvex import PREDICATE
from lading.vulnerabilities.sboms import CYCLONEDX
from tests.support.vex_documents import FORGER, KEY, public_pem, write_keys


def test_keys_of_a_folder_have_the_names_of_their_files(tmp_path: Path) -> None:
    write_keys(tmp_path, release=KEY, vendor=FORGER)
    (tmp_path / "README.txt").write_text("not a key")
    (tmp_path / "team.pub").write_bytes(public_pem())

    assert [*load_keys(str(tmp_path))] == ["release", "team", "vendor"]


def test_one_file_is_one_key(tmp_path: Path) -> None:
    write_keys(tmp_path, release=KEY)

    assert [*load_keys(str(tmp_path / "release.pem"))] == ["release"]


def test_keys_of_json_have_the_names_of_the_object() -> None:
    """So a function has them, which has no files but its own."""
    keys = load_keys(json.dumps({"release": public_pem().decode(), "vendor": public_pem(FORGER).decode()}))

    assert {name: fingerprint(key) for name, key in keys.items()} == {
        "release": fingerprint(KEY.public_key()),
        "vendor": fingerprint(FORGER.public_key()),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("{}", "1 to 20 public keys"),
        ('{"a": 1}', "1 to 20 public keys"),
        ('{"a": "PEM"}', "the key a cannot be used: it is not a public key"),
        ('{"a b": "PEM"}', "'a b' is no name of a key"),
    ],
)
def test_json_that_cannot_be_used_is_explained(text: str, message: str) -> None:
    with pytest.raises(KeyInvalid, match=message):
        load_keys(text)


def test_what_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyInvalid, match=r"vex\.pem cannot be read: No such file"):
        load_keys(str(tmp_path / "vex.pem"))
    with pytest.raises(KeyInvalid, match=r"has no public key: no file \*\.pem or \*\.pub"):
        load_keys(str(tmp_path))
    (tmp_path / "a.pem").write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(KeyInvalid, match=r"a\.pem cannot be used: it is not a public key as PEM"):
        load_keys(str(tmp_path))
    write_keys(tmp_path, a=KEY)
    (tmp_path / "a.pub").write_bytes(public_pem())
    with pytest.raises(KeyInvalid, match="two keys with the name a"):
        load_keys(str(tmp_path))
    monkeypatch.setattr(document_keys, "MAX_KEYS", 1)
    with pytest.raises(KeyInvalid, match="more than 1 keys"):
        load_keys(str(tmp_path))


def test_a_key_counts_for_what_it_was_configured_for(tmp_path: Path) -> None:
    keys = DocumentKeys(vex=load_keys(str(write_keys(tmp_path / "vex", release=KEY))))
    both = DocumentKeys(vex=keys.vex, scans=load_keys(str(write_keys(tmp_path / "scans", scanner=KEY, vendor=FORGER))))
    signer, other = fingerprint(KEY.public_key()), fingerprint(FORGER.public_key())

    assert (keys.name(signer, PREDICATE), keys.name(signer, CYCLONEDX)) == ("release", "")
    assert (both.name(signer, PREDICATE), both.name(signer, CYCLONEDX)) == ("release", "scanner")
    assert (both.name(other, PREDICATE), both.name(other, CYCLONEDX)) == ("", "vendor")
    assert [*both.all] == [signer, other]
    assert len({keys.version, both.version, DocumentKeys().version, DocumentKeys(scans=keys.vex).version}) == 4


def test_a_server_does_not_start_with_a_key_that_it_cannot_use(tmp_path: Path) -> None:
    settings = load_settings({}, {"vex-keys": str(tmp_path / "none.pem")})

    with pytest.raises(SettingsError, match=r"^--vex-keys: .*none\.pem cannot be read"):
        honour_documents(settings, None)  # type: ignore[arg-type]  # no registry is reached
