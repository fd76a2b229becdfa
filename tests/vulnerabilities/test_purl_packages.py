"""Package URLs of other scanners: the package that they name, as the extractors make it."""

import pytest

from lading.scanning.documents.package_url import package_url
from lading.scanning.packages import Distribution, Package
from lading.vulnerabilities.purl_packages import identity, read

DEBIAN = Distribution(id="debian", version="12")


@pytest.mark.parametrize(
    ("purl", "package"),
    [
        ("pkg:npm/%40types/node@20.1.0", Package(type="npm", namespace="@types", name="node", version="20.1.0")),
        ("pkg:golang/github.com/a/b@v1.2.3", Package(type="golang", name="github.com/a/b", version="v1.2.3")),
        ("pkg:golang/stdlib@1.22.0", Package(type="golang", name="stdlib", version="1.22.0")),
        ("pkg:pypi/a-b@1?vcs_url=x#sub", Package(type="pypi", name="a-b", version="1")),
        ("pkg:maven/org.a/b@1", Package(type="maven", namespace="org.a", name="b", version="1")),
    ],
)
def test_packages_of_languages(purl: str, package: Package) -> None:
    named = read(purl)

    assert named is not None
    assert (named.package, named.distribution) == (package, Distribution())


@pytest.mark.parametrize(
    ("package", "distribution"),
    [
        (Package(type="deb", namespace="debian", name="bash", version="5.2-1+b1", arch="amd64"), DEBIAN),
        (
            Package(
                type="deb", namespace="debian", name="zlib1g", version="1:1.2", source="zlib", source_version="1:1.1"
            ),
            DEBIAN,
        ),
        (
            Package(type="apk", namespace="alpine", name="a", version="1-r0", source="b"),
            Distribution(id="alpine", version="3.18.4"),
        ),
        (
            Package(
                type="rpm",
                namespace="rhel",
                name="openssl-libs",
                version="1:3.0.7-24.el9",
                arch="x86_64",
                source="openssl",
                source_version="1:3.0.7-24.el9",
            ),
            Distribution(id="rhel", version="9.2"),
        ),
    ],
    ids=["deb", "deb of a source", "apk", "rpm"],
)
def test_our_own_package_urls_are_read_back(package: Package, distribution: Distribution) -> None:
    named = read(package_url(package, distribution))

    assert named is not None
    assert (named.package, named.distribution) == (package, distribution)


@pytest.mark.parametrize(
    ("purl", "distribution"),
    [
        ("pkg:apk/alpine/musl@1?distro=3.18.4", Distribution(id="alpine", version="3.18.4")),  # Trivy
        ("pkg:deb/debian/a@1?distro=bookworm", Distribution(id="debian", codename="bookworm")),
        ("pkg:rpm/opensuse/a@1-1?distro=opensuse-leap-15.5", Distribution(id="opensuse-leap", version="15.5")),
        ("pkg:rpm/redhat/a@1-1?distro=redhat-9.2", Distribution(id="rhel", version="9.2")),
    ],
)
def test_distributions_as_other_scanners_spell_them(purl: str, distribution: Distribution) -> None:
    named = read(purl)

    assert named is not None
    assert named.distribution == distribution


@pytest.mark.parametrize("purl", ["", "npm", "pkg:npm", "pkg:generic/curl@8", "pkg:github/a/b", "pkg:npm/" + "@" * 9])
def test_what_cannot_be_compared_is_none(purl: str) -> None:
    assert read(purl) is None


@pytest.mark.parametrize(
    ("purl", "package"),
    [
        ("pkg:pypi/A_b@1", Package(type="pypi", name="a.B", version="1", path="x")),
        ("pkg:golang/stdlib@1.22.0", Package(type="golang", name="stdlib", version="go1.22.0")),
        ("pkg:golang/a.com/b@v1.0.0", Package(type="golang", name="a.com/b", version="v1.0.0")),
        ("pkg:rpm/redhat/a@1-1?epoch=1", Package(type="rpm", namespace="rhel", name="a", version="1:1-1")),
    ],
)
def test_the_same_package_has_the_same_identity_in_any_spelling(purl: str, package: Package) -> None:
    named = read(purl)

    assert named is not None
    assert identity(named.package) == identity(package)
