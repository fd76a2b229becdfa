"""Audit the lock files for versions with published vulnerabilities, with pip-audit and PyPI's JSON advisories.

The exit status is 1 if a vulnerability is found or a package cannot be looked up. A mirror of PyPI without this JSON
has no advisories for any package: then nothing is audited, and the audit passes with a message, unless
LADING_AUDIT=required.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

PIP_AUDIT: Final = "pip-audit==2.10.1"
ROOT: Final = Path(__file__).parent.parent
LOCKS: Final = (
    "functions/requirements.txt",
    "functions/requirements-envoy.txt",
    "functions/requirements-metrics.txt",
    "functions/requirements-scan.txt",
    "functions/requirements-sigstore.txt",
    "functions/requirements-traces.txt",
    ".ci/requirements.txt",
)


def verdict(dependencies: list[dict[str, Any]], required: bool) -> tuple[int, list[str]]:
    """Return the exit status and the lines to print for the dependencies in pip-audit's report."""
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    if not dependencies or len(skipped) == len(dependencies):
        reason = "the package index serves no advisories: nothing was audited"
        return (1, [f"audit: FAILED: {reason}"]) if required else (0, [f"audit: skipped: {reason}"])
    lines = [
        f"audit: {each['name']} {each['version']} has {vuln['id']}, fixed in {' '.join(vuln['fix_versions']) or '-'}"
        for each in dependencies
        for vuln in each.get("vulns", [])
    ]
    lines += [f"audit: {name} could not be looked up" for name in skipped]
    return (1, lines) if lines else (0, [f"audit: no known vulnerability in {len(dependencies)} packages"])


def main() -> int:
    """Run pip-audit in a temporary virtual environment, and print the result."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "bin")
        subprocess.run([programs / "pip", "install", "--quiet", PIP_AUDIT], check=True)
        locks = [word for lock in LOCKS for word in ("-r", str(ROOT / lock))]
        command = [programs / "pip-audit", *locks, "--disable-pip", "--require-hashes", "--format", "json"]
        done = subprocess.run([*command, "--progress-spinner", "off"], stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        print("audit: FAILED: pip-audit printed no report")
        return 1
    status, lines = verdict(json.loads(done.stdout)["dependencies"], os.environ.get("LADING_AUDIT") == "required")
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
