"""Reports to make documents of: one with an example of each field, and random ones."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from lading.scanning import packages as types
from lading.scanning.findings import DONE, FAILED, PARTIAL, SEVERITIES, UNSUPPORTED, Finding, Report
from lading.scanning.packages import DEB, MAVEN, NPM, Distribution, ImagePackages, Package

AT: Final = datetime(2026, 11, 29, 6, 30, tzinfo=UTC)
DIGEST: Final = f"sha256:{'5f' * 32}"
DEBIAN: Final = Distribution(id="debian", version="12", codename="bookworm")

OPENSSL: Final = Package(
    type=DEB,
    namespace="debian",
    name="libssl3",
    version="3.0.11-1~deb12u2",
    arch="amd64",
    source="openssl",
    path="var/lib/dpkg/status",
)
LOG4J: Final = Package(
    type=MAVEN,
    namespace="org.apache.logging.log4j",
    name="log4j-core",
    version="2.14.1",
    path="app/lib/log4j core.jar",
    guessed=True,
    licenses=("Apache-2.0",),
)
NODE_TYPES: Final = Package(
    type=NPM,
    namespace="@types",
    name="node",
    version="20.1.0",
    path="app/node_modules/@types/node/package.json",
    licenses=("MIT OR Apache-2.0",),
)
LOG4SHELL: Final = Finding(
    id="GHSA-jfh8-c2jp-5v3q",
    aliases=("CVE-2021-44228",),
    package=LOG4J,
    ecosystem="Maven",
    severity="critical",
    score=10.0,
    fixed="2.15.0",
    summary="Remote code injection in Log4j",
    published=datetime(2021, 12, 10, tzinfo=UTC),
    epss=0.97,
    known_exploited=True,
    uncertain="the group of the jar is a guess",
)
SUPPRESSED: Final = Finding(
    id="DEBIAN-CVE-2023-5678",
    aliases=("CVE-2023-5678",),
    package=OPENSSL,
    ecosystem="Debian:12",
    severity="high",
    suppressed="vulnerable_code_not_in_execute_path (https://example.org/vex-1)",
)
UNFIXED: Final = replace(SUPPRESSED, id="DEBIAN-CVE-2024-2511", aliases=(), severity="unknown", suppressed="")
ADVISORY: Final = replace(UNFIXED, id="RLSA-2023:1", covers=("CVE-2023-1", "CVE-2023-2"))

FULL: Final = Report(
    digest=DIGEST,
    state=DONE,
    image=ImagePackages(packages=[OPENSSL, LOG4J, NODE_TYPES], distribution=DEBIAN),
    findings=[LOG4SHELL, SUPPRESSED, UNFIXED],
    data={"Maven": '"etag-2"', "Debian": '"etag-1"'},
    at=AT,
    scanner="0.1.0",
    updated=datetime(2026, 11, 28, tzinfo=UTC),
)
IN_PART: Final = replace(
    FULL,
    state=PARTIAL,
    findings=[],
    missing=["npm"],
    image=replace(FULL.image, notes=["usr/bin/tool: could not be read: it is packed"]),
    notes=["version x of y cannot be compared"],
)
STATES: Final = {
    DONE: replace(FULL, findings=[]),
    PARTIAL: IN_PART,
    UNSUPPORTED: replace(
        IN_PART, state=UNSUPPORTED, image=ImagePackages(packages=[], notes=["no package was found"], is_supported=False)
    ),
    FAILED: replace(IN_PART, state=FAILED, image=ImagePackages(packages=[], is_supported=False), notes=["a bomb"]),
}
"""A report without a finding, by state: only the first one says that there is none."""

TYPES: Final = (
    types.DEB,
    types.APK,
    types.RPM,
    types.PYPI,
    types.NPM,
    types.GO,
    types.MAVEN,
    types.CARGO,
    types.COMPOSER,
)

text = st.text(st.characters() | st.sampled_from("/@:%?#&= \x00\n\udc80\U0001f4a9é"), max_size=12)
names = text.filter(bool)
times = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))


@st.composite
def random_packages(draw: Callable[..., Any]) -> Package:
    return Package(
        type=draw(st.sampled_from(TYPES)),
        name=draw(names),
        namespace=draw(text),
        version=draw(text),
        arch=draw(text),
        source=draw(text),
        source_version=draw(text),
        path=draw(text),
        guessed=draw(st.booleans()),
        licenses=tuple(draw(st.lists(text | st.sampled_from(["MIT", "mit", "MIT OR Apache-2.0"]), max_size=3))),
    )


@st.composite
def random_findings(draw: Callable[..., Any]) -> Finding:
    return Finding(
        id=draw(names),
        aliases=tuple(draw(st.lists(text, max_size=2))),
        covers=tuple(draw(st.lists(text, max_size=2))),
        package=draw(random_packages()),
        ecosystem=draw(text),
        severity=draw(st.sampled_from(SEVERITIES)),
        score=draw(st.none() | st.floats(0, 10) | st.integers(0, 10)),
        fixed=draw(text),
        summary=draw(text),
        published=draw(st.none() | times),
        epss=draw(st.none() | st.floats(0, 1)),
        known_exploited=draw(st.booleans()),
        uncertain=draw(text),
        suppressed=draw(text),
    )


@st.composite
def random_reports(draw: Callable[..., Any]) -> Report:
    distribution = Distribution(id=draw(text), version=draw(text), codename=draw(text))
    packages = draw(st.lists(random_packages(), max_size=4))
    notes = draw(st.lists(text, max_size=2))
    return Report(
        digest=draw(st.sampled_from([DIGEST, f"sha512:{'0' * 128}"])),
        state=draw(st.sampled_from([DONE, PARTIAL, UNSUPPORTED, FAILED])),
        image=ImagePackages(
            packages=packages, distribution=distribution, notes=notes, is_supported=draw(st.booleans())
        ),
        findings=draw(st.lists(random_findings(), max_size=3)),
        data=draw(st.dictionaries(text, text, max_size=2)),
        missing=draw(st.lists(text, max_size=2)),
        notes=draw(st.lists(text, max_size=2)),
        at=draw(times),
        scanner=draw(st.sampled_from(["0.1.0", "1.2.0rc1", "0123456789abcdef"])),
        updated=draw(st.none() | times),
    )


def large_report(packages: int, findings: int) -> Report:
    """Return a report of a large image."""
    found = [replace(OPENSSL, name=f"lib{number}") for number in range(packages)]
    vulnerable = [
        replace(UNFIXED, id=f"DEBIAN-CVE-2024-{number}", package=found[number % packages], summary="s" * 200)
        for number in range(findings)
    ]
    return replace(FULL, image=replace(FULL.image, packages=found), findings=vulnerable)
