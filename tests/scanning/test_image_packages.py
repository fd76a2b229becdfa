"""The layers of an image, one over the other: what they replace and remove is not in the image."""

import pytest

from lading.scanning.image_packages import merge
from lading.scanning.layer_packages import decode, encode
from lading.scanning.packages import DEB, NPM, Distribution, LayerPackages, Package
from tests.scanning.layers import STATUS, layer_of, status

DEBIAN = Distribution(id="debian", version="12", codename="bookworm")


def declares(*paths: str) -> LayerPackages:
    """Return a layer in which each path declares a package of its own name."""
    return LayerPackages(packages={path: [Package(type=NPM, name=path, path=path)] for path in paths})


@pytest.mark.parametrize(
    ("above", "left"),
    [
        (LayerPackages(), ["a/b/c", "a/b/d", "a/bb", "e"]),
        (LayerPackages(removed=["a/b/c"]), ["a/b/d", "a/bb", "e"]),
        (LayerPackages(removed=["a/b"]), ["a/bb", "e"]),
        (LayerPackages(opaque=["a/b"]), ["a/bb", "e"]),
        (LayerPackages(opaque=["a"]), ["e"]),
        (LayerPackages(opaque=[""]), []),
        (LayerPackages(opaque=["e"]), ["a/b/c", "a/b/d", "a/bb", "e"]),
        (LayerPackages(present=["a/b/c"]), ["a/b/d", "a/bb", "e"]),
        (LayerPackages(present=["a/b"]), ["a/bb", "e"]),
        (LayerPackages(present=["e/f"]), ["a/b/c", "a/b/d", "a/bb"]),
        (declares("a/b/d", "x"), ["a/b/c", "a/b/d", "a/bb", "e", "x"]),
        (declares("e/f"), ["a/b/c", "a/b/d", "a/bb", "e/f"]),
    ],
)
def test_a_layer_hides_what_it_removes_and_replaces(above: LayerPackages, left: list[str]) -> None:
    below = declares("a/b/c", "a/b/d", "a/bb", "e")

    assert [each.name for each in merge([below, above]).packages] == left
    assert [each.name for each in merge([below, above, LayerPackages()]).packages] == left
    both = merge([above, below])
    assert {"a/b/c", "a/b/d", "a/bb", "e"} <= {each.name for each in both.packages}, "a layer hides nothing above it"


def test_a_whiteout_hides_nothing_of_its_own_layer() -> None:
    upper = layer_of({"var/lib/dpkg/.wh..wh..opq": b"", STATUS: status("bash 2")})

    assert [each.version for each in merge([layer_of({STATUS: status("bash 1", "zlib1g 1")}), upper]).packages] == ["2"]


def test_an_executable_that_declares_nothing_replaces_one_that_does() -> None:
    below = declares("usr/bin/tool")
    assert merge([below, layer_of({"usr/bin/other": b""})]).is_supported
    assert merge([below, LayerPackages(present=("usr/bin/tool",))]).packages == []


def test_packages_of_a_distribution_have_it_as_their_namespace() -> None:
    image = merge([layer_of({STATUS: status("bash 1"), "etc/os-release": b"ID=debian\nVERSION_ID=12"}), declares("x")])

    assert [(each.type, each.namespace, each.name) for each in image.packages] == [
        (DEB, "debian", "bash"),
        (NPM, "", "x"),
    ]
    assert (image.distribution.id, image.notes, image.is_supported) == ("debian", (), True)


def test_the_uppermost_distribution_counts() -> None:
    old, new = Distribution(id="debian", version="12"), Distribution(id="debian", version="13")
    layers = [LayerPackages(distribution=old), LayerPackages(distribution=new), LayerPackages()]
    assert merge(layers).distribution == new


def test_what_is_not_known_is_never_clean() -> None:
    nothing = merge([LayerPackages(), layer_of({"app": b"\x7fELF"})])
    assert (nothing.is_supported, len(nothing.notes)) == (False, 1)
    assert not merge([]).is_supported

    arch = merge([LayerPackages(distribution=Distribution(id="arch")), declares("x")])
    assert arch.notes == ("no package database of the distribution arch was found",)

    damaged = merge([LayerPackages(notes=["a: no", "b: no"]), declares("x"), LayerPackages(notes=["a: no"])])
    assert damaged.notes == ("a: no", "b: no")


def test_a_layer_is_equal_after_it_was_kept() -> None:
    package = Package(type=DEB, name="a", version="1:2", source="b", path="p", licenses=("MIT", "x"), guessed=True)
    nested = Package(type=NPM, name="in", path="p!/q")
    layer = LayerPackages(
        packages={"p": (package, nested), "q/ü": (Package(type=NPM, name="c", path="q/ü"),)},
        removed=("x", "y"),
        opaque=("",),
        distribution=DEBIAN,
        present=("z",),
        notes=("n",),
    )
    for each in (layer, LayerPackages()):
        assert decode(encode(each)) == each
        assert encode(decode(encode(each))) == encode(each)
