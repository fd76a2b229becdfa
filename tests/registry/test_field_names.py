"""What a manifest says to Lading, and what it says to a client in Go, whose encoding/json folds names."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lading.registry.content import field_names
from lading.registry.content.manifest_format import OCI_INDEX, OCI_MANIFEST, ParsedManifest, parse_manifest
from lading.registry.errors import RegistryError
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.requirements import find_program

SOURCE = Path(__file__).parent / "read_manifests.go"
DOCUMENTS = 6_000
LIKE = {"s": "sS\u017f", "k": "kK\u212a", "i": "iI\u0130\u0131"}
"""Letters that some client takes for one another."""

Pairs = list[tuple[str, Any]]
"""An object whose names can stand twice."""


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Run the Go program with arguments and lines of input; returns the lines of its output."""
    binary = tmp_path_factory.mktemp("go") / "read_manifests"
    compiler = find_program("go", "https://go.dev/doc/install")
    subprocess.run([compiler, "build", "-o", str(binary), str(SOURCE)], check=True, timeout=300)

    def run(*arguments: str, lines: str = "") -> list[str]:
        done = subprocess.run(
            [binary, *arguments], input=lines, capture_output=True, text=True, timeout=300, check=True
        )
        return done.stdout.splitlines()

    return run


def test_every_letter_that_go_takes_for_another_is_folded(go: Callable[..., list[str]]) -> None:
    letters = [chr(int(line)) for line in go("runes")]

    assert letters == ["\u017f", "\u212a"]
    for letter in letters:
        name = f"x{letter.casefold()}"
        assert field_names.find_confusable({f"x{letter}": 1}, {name}) == (f"x{letter}", name)


class Maker:
    """Makes documents that are nearly manifests, the same ones each time."""

    def __init__(self) -> None:
        self._random = random.Random(17)
        self._digests = [digest_of(bytes([number])) for number in range(4)]

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield documents with their media types, each on one line."""
        for _ in range(DOCUMENTS):
            media_type = self._random.choice((OCI_MANIFEST, OCI_INDEX))
            fields: Pairs = [("schemaVersion", 2), ("mediaType", self._random.choice((media_type, "", None)))]
            lists = ["manifests"] if media_type == OCI_INDEX else ["layers"]
            fields += [(name, [self._descriptor() for _ in range(self._random.randint(0, 2))]) for name in lists]
            fields += [] if media_type == OCI_INDEX else [("config", self._descriptor())]
            fields += self._some(
                ("subject", self._descriptor), ("annotations", self._free), ("x-extension", self._free)
            )
            yield self._text(self._spoilt(fields)), media_type

    def _descriptor(self) -> Pairs:
        fields: Pairs = [
            ("mediaType", self._random.choice((images.LAYER_TYPE, OCI_MANIFEST, OCI_MANIFEST.upper(), "", None))),
            ("digest", self._random.choice(self._digests)),
            ("size", 5),
        ]
        fields += self._some(("platform", self._platform), ("annotations", self._free), ("extra", self._free))
        return self._spoilt(fields)

    def _platform(self) -> Pairs:
        return self._spoilt([("architecture", "arm64"), ("os", "linux")])

    def _free(self) -> Pairs:
        """What is the user's: names like the specification's in any case, and of no meaning."""
        names = ("Platform", "Size", "Data", "layer\u017f", "digest", "DIGEST", "\ud800", "\u1e9e", "a", "A")
        return [(name, str(number)) for number, name in enumerate(self._random.sample(names, 4))]

    def _some(self, *fields: tuple[str, Callable[[], Pairs]]) -> Pairs:
        return [(name, make()) for name, make in fields if self._random.random() < 0.3]

    def _spoilt(self, fields: Pairs) -> Pairs:
        """Return fields of which now and then one stands again, in letters that are alike."""
        if self._random.random() < 0.25:
            name, value = self._random.choice(fields)
            value = self._random.choice((value, None, self._random.choice(self._digests), []))
            where = self._random.randint(0, len(fields))
            fields = [*fields[:where], (self._alike(name), value), *fields[where:]]
        return fields

    def _alike(self, name: str) -> str:
        letters = [self._random.choice(LIKE.get(letter, letter + letter.upper())) for letter in name]
        kept = self._random.randint(0, len(name))
        return "".join(letters[:kept]) + name[kept:]

    def _text(self, value: Any) -> str:
        """Return the JSON of a value, with and without escapes."""
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            return "{" + ", ".join(f"{self._name(name)}: {self._text(inner)}" for name, inner in value) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._text, value)) + "]"
        return json.dumps(value)

    def _name(self, name: str) -> str:
        if self._random.random() < 0.2:
            return '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
        return json.dumps(name, ensure_ascii="\ud800" in name or self._random.random() < 0.5)


def read(text: str, media_type: str) -> ParsedManifest | None:
    """Return what Lading sees, or None where it refuses the document."""
    try:
        return parse_manifest(text.encode(), media_type)
    except RegistryError:
        return None


def as_go(text: str) -> str:
    """Return a text as Go has it: in UTF-8, which has no halves of surrogate pairs."""
    return "".join("\ufffd" if "\ud800" <= letter < "\ue000" else letter for letter in text)


def test_a_client_in_go_sees_what_lading_has_checked(go: Callable[..., list[str]]) -> None:
    made = list(Maker().documents())
    seen = go(lines="".join(f"{text}\n" for text, _ in made))
    assert len(seen) == len(made)
    taken = refused = 0
    for (text, media_type), through_go in zip(made, seen, strict=True):
        document = read(text, media_type)
        refused += document is None
        if document is None or not through_go:
            continue
        taken += 1
        annotations = {as_go(name): value for name, value in document.annotations.items()}
        assert read(through_go, media_type) == replace(document, annotations=annotations), text
    assert taken > DOCUMENTS / 4
    assert refused > DOCUMENTS / 10


@pytest.mark.parametrize("where", ["annotations", "extension"])
@pytest.mark.parametrize("at", ["document", "descriptor", "platform"])
def test_names_of_annotations_and_extensions_are_the_users(where: str, at: str) -> None:
    free = dict.fromkeys(("Platform", "Size", "Data", "LAYERS", "layer\u017f", "Digest", "digest", "a", "A"), "1")
    described = json.loads(images.index([images.manifest([])]))
    descriptor = described["manifests"][0]
    descriptor["platform"] = {"os": "linux", "architecture": "arm64"}
    place = {"document": described, "descriptor": descriptor, "platform": descriptor["platform"]}[at]
    place["annotations" if where == "annotations" else "x-extension"] = free

    document = parse_manifest(json.dumps(described).encode(), OCI_INDEX)

    assert document.annotations == (free if (where, at) == ("annotations", "document") else {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"layer\u017f": []}', "has the name 'layer\\u017f', which some clients read as layers"),
        ('{"annotations": {"a": "1", "\\u0061": "2"}}', "has the name 'a' twice in one object"),
        ('{"manifests": [{"Digest": ""}]}', "has in manifests the name 'Digest', which some clients read as digest"),
        (
            '{"manifests": [{"platform": {"OS": ""}}]}',
            "has in a platform of manifests the name 'OS', which some clients read as os",
        ),
    ],
)
def test_a_refusal_says_which_name_it_is_about(text: str, reason: str) -> None:
    with pytest.raises(RegistryError) as refused:
        parse_manifest(text.encode(), OCI_INDEX)

    assert refused.value.detail == {"reason": f"the manifest {reason}"}
