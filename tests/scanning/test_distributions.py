"""Databases of distributions: which packages they declare as installed."""

from lading.scanning.extractors.lines import MAX_LINE
from lading.scanning.packages import APK, DEB, Package
from tests.scanning.layers import INSTALLED, STATUS, layer_of, names

DPKG = b"""Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl (3.0.11-1)
Version: 3.0.11-1~deb12u2
Conffiles:
 /etc/ssl/openssl.cnf 123
Description: Version: of no consequence
 Package: neither

Package: bash
Status: hold ok half-configured
Architecture: amd64
Source: bash
Version: 5.2

Package: removed
Status: deinstall ok config-files
Version: 1

Package: gone
Status: purge ok not-installed
"""

APK_DATABASE = b"""C:Q1abc=
P:ssl_client
V:1.36.1-r5
A:x86_64
o:busybox
L:GPL-2.0-only
F:usr/bin
R:ssl_client
a:0:0:755
Z:Q1xyz=

P:musl
V:1.2.4-r2
o:musl
"""


def test_packages_of_dpkg_are_those_whose_files_are_there() -> None:
    layer = layer_of({STATUS: DPKG})

    assert list(layer.packages[STATUS]) == [
        Package(
            type=DEB,
            name="libssl3",
            version="3.0.11-1~deb12u2",
            arch="amd64",
            source="openssl",
            source_version="3.0.11-1",
            path=STATUS,
        ),
        Package(type=DEB, name="bash", version="5.2", arch="amd64", path=STATUS),
    ]


def test_distroless_images_have_a_file_for_each_package() -> None:
    folder = f"{STATUS}.d"
    layer = layer_of(
        {
            f"{folder}/base": b"Package: base-files\nVersion: 12\nArchitecture: amd64\n",
            f"{folder}/base.md5sums": b"Package: no\nVersion: 1\n",
            f"{folder}/tzdata": b"Package: tzdata\nVersion: 2024a\n\n",
        }
    )

    assert names(layer) == ["base-files 12", "tzdata 2024a"]
    assert list(layer.packages) == [f"{folder}/base", f"{folder}/tzdata"]


def test_packages_of_apk_have_the_name_of_their_source() -> None:
    for path in (INSTALLED, f"usr/{INSTALLED}"):
        layer = layer_of({path: APK_DATABASE})
        assert list(layer.packages[path]) == [
            Package(
                type=APK,
                name="ssl_client",
                version="1.36.1-r5",
                arch="x86_64",
                source="busybox",
                path=path,
                licenses=("GPL-2.0-only",),
            ),
            Package(type=APK, name="musl", version="1.2.4-r2", path=path),
        ]


def test_of_a_long_line_its_beginning_is_read() -> None:
    long = b"Depends: ".ljust(2 * MAX_LINE, b"x") + b"Version: 9"
    content = b"\n".join(
        (b"Package: bash", b"Version: 1", long, b"", b"Package: " + b"y" * 3 * MAX_LINE, b"Version: 2")
    )

    layer = layer_of({STATUS: content})

    assert [(each.name[:4], each.version) for each in layer.packages[STATUS]] == [("bash", "1"), ("yyyy", "2")]
