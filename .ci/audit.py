"""Audit the locks for versions with published vulnerabilities: pip-audit, by the advisories that PyPI serves as JSON.

Exits with 1 where there is one, or where a package could not be looked up. A mirror of PyPI that has no such JSON knows
no advisory of any package: then nothing is audited, which is said and passes, unless LADING_AUDIT=required.
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
LOCKS: Final = ("functions/requirements.txt", "functions/requirements-envoy.txt", ".ci/requirements.txt")


def verdict(dependencies: list[dict[str, Any]], required: bool) -> tuple[int, list[str]]:
    """Return the exit status, and what to print, for what pip-audit says of each dependency."""
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    if not dependencies or len(skipped) == len(dependencies):
        what = "no advisories can be had of this index: nothing was audited"
        return (1, [f"audit: FAILED: {what}"]) if required else (0, [f"audit: skipped: {what}"])
    lines = [
        f"audit: {each['name']} {each['version']} has {known['id']}, fixed in {' '.join(known['fix_versions']) or '-'}"
        for each in dependencies
        for known in each.get("vulns", [])
    ]
    lines += [f"audit: {name} could not be looked up" for name in skipped]
    return (1, lines) if lines else (0, [f"audit: no known vulnerability in {len(dependencies)} packages"])


def main() -> int:
    """Audit with a pip-audit in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs = Path(folder, "bin")
        subprocess.run([programs / "pip", "install", "--quiet", PIP_AUDIT], check=True)
        locks = [word for lock in LOCKS for word in ("-r", str(ROOT / lock))]
        command = [programs / "pip-audit", *locks, "--disable-pip", "--require-hashes", "--format", "json"]
        done = subprocess.run([*command, "--progress-spinner", "off"], stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        print("audit: FAILED: pip-audit said nothing")
        return 1
    status, lines = verdict(json.loads(done.stdout)["dependencies"], os.environ.get("LADING_AUDIT") == "required")
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
