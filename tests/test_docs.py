"""What the pages in docs/ name is there."""

import re
from pathlib import Path

from lading import cli
from lading.jobs.doctor.front import FrontChecks
from lading.jobs.doctor.host import HostChecks

ROOT = Path(__file__).parent.parent
GOOGLE = (ROOT / "docs" / "google.md").read_text()


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in pages
        for target in re.findall(r"\]\(([^):]+)\)", page.read_text())
        if not target.startswith("#")
    }
    assert [path for path in linked if not path.exists()] == []
    assert {page for page in (ROOT / "docs").glob("*.md") if page not in linked} == set()


def test_the_settings_of_the_module_that_are_named_are_there() -> None:
    variables = set(re.findall(r'^variable "(\w+)"', (ROOT / "terraform" / "variables.tf").read_text(), re.MULTILINE))
    named = set(re.findall(r"`(\w+_\w+)(?: = [^`]*)?`", GOOGLE)) | {"domain", "armor", "grace"}
    assert named <= variables
    assert {"point_in_time_recovery", "backup_retention_days", "soft_delete_days", "min_instances"} <= named


def test_the_commands_and_checks_that_are_named_are_there() -> None:
    usage = cli._parser().format_help()
    for command in re.findall(r"`lading\s+(\w+)", GOOGLE):
        assert command in usage
    host = HostChecks("http://localhost", None, "a")
    checks = {check.name for check in [*host.checks(), *FrontChecks("http://localhost", "a", host).checks()]}
    named = {"version", "token", "rights", "lengths", "large", "cut-off"}
    assert named <= checks
    assert all(f"`{name}`" in GOOGLE for name in named)


def test_what_to_look_at_first_are_ten_points() -> None:
    points = re.findall(r"^(\d+)\. ", GOOGLE.split("## What to look at first")[1], re.MULTILINE)
    assert points == [str(number) for number in range(1, 11)]
