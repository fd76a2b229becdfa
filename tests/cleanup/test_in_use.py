"""What deployers report to run: in the forms in which clusters tell it, and within bounds."""

import pytest

from lading.registry.in_use import (
    MAX_REFERENCES,
    InUseReportError,
    in_use_locations,
    normalize_references,
    parse_reference,
)
from lading_storage.records.jobs import InUseReport
from tests.cleanup.manifest_nodes import NOW, digest, node

HERE = digest("a")


@pytest.mark.parametrize(
    ("reference", "path", "target"),
    [
        (HERE, "", HERE),
        ("team/app:v1", "team/app", "v1"),
        ("team/app", "team/app", "latest"),
        (f"team/app@{HERE}", "team/app", HERE),
        (f"team/app:v1@{HERE}", "team/app", HERE),
        (f"registry.example:5000/team/app@{HERE}", "registry.example:5000/team/app", HERE),
        ("localhost:5000/app", "localhost:5000/app", "latest"),
        (f"docker-pullable://registry.example/team/app@{HERE}", "docker-pullable://registry.example/team/app", HERE),
    ],
)
def test_references_are_read_as_clusters_tell_them(reference: str, path: str, target: str) -> None:
    assert parse_reference(reference) == (path, target)


@pytest.mark.parametrize("reference", ["team/app:", "team/app@sha256:ab", ":v1", "@" + HERE, "team/", "a:b:c", "a:b c"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(InUseReportError, match="neither a digest nor a reference"):
        parse_reference(reference)


@pytest.mark.parametrize(
    "reference",
    ["hello world", "Team/App", "\x1b[31m", "https://x.y/", "a//b", "-x/y z:v1", "host:99x/app", "…"],
)
def test_nonsense_is_not_reported_but_stays_where_an_earlier_release_took_it(reference: str) -> None:
    with pytest.raises(InUseReportError, match="neither a digest nor a reference"):
        normalize_references([reference])
    in_use_locations([InUseReport(id="c", references=("hello world",), reported=NOW)], "team/app", [node("a", "v1")])


def test_references_with_a_host_and_a_scheme_are_reported() -> None:
    references = (f"docker-pullable://r.example:5000/a/b@{HERE}", "[::1]:5000/app:v1", "localhost/app", "my_app:v1")
    assert normalize_references(references) == tuple(sorted(references))


def test_a_report_is_sorted_and_has_bounds() -> None:
    assert normalize_references(["b", "\n", " a \n", "b"]) == ("a", "b")
    for too_much in ([], [" "], [f"app:v{number}" for number in range(MAX_REFERENCES + 1)], ["a" * 500_001]):
        with pytest.raises(InUseReportError):
            normalize_references(too_much)


@pytest.mark.parametrize(
    ("reference", "runs"),
    [
        ("team/app:v1", True),
        ("host.example/team/app:v1", True),
        ("pkg.example/project/cache/team/app:v1", True),
        (f"anything/team/app@{HERE}", True),
        (HERE, True),
        ("team/app:v2", False),
        ("app:v1", False),
        ("other-team/app:v1", False),
        ("team/app/part:v1", False),
        (f"other/app@{HERE}", False),
        ("team/app", False),
    ],
)
def test_what_stands_before_the_name_of_the_repository_does_not_matter(reference: str, runs: bool) -> None:
    report = InUseReport(id="cluster-1", references=(reference,), reported=NOW)
    found = in_use_locations([report], "team/app", [node("a", "v1"), node("b", "v3")])
    assert found == ({HERE: "in cluster-1"} if runs else {})
