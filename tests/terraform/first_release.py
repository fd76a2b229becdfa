"""A deployment by the first release that had a module: what it left at Google, and in Terraform's state.

    python -m tests.terraform.first_release    makes first_release.json anew, from this repository's history

The file is in the repository since a checkout need not have its history. Data sources and the source's bytes, which
plans read anew, are not in it.
"""

import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.terraform.apis import PROJECT
from tests.terraform.control_plane import ControlPlane
from tests.terraform.terraform_cli import PARTS, ROOT, Terraform

FILE: Final = Path(__file__).parent / "first_release.json"
COMMIT: Final = "062b8e31bf25f50e491347e243142e411ccf0437"
"""Deploy: a Terraform module puts it all into a project with one apply."""

KEY: Final = f"projects/{PROJECT}/locations/europe-west1/keyRings/r/cryptoKeys/k"
VARIABLES: Final[dict[str, Any]] = {
    "project_id": PROJECT,
    "repositories": {
        "team-a/": {"writers": ["group:team-a@example.com"]},
        "team-b/": {"admins": ["user:b@example.com"]},
    },
    "kms_key": KEY,  # which was for layers alone
    "domain": "registry.example.com",
    "more_regions": ["us-central1"],
    "armor": {"requests_per_minute": 600},
}


def make(terraform: Terraform, folder: Path) -> None:
    """Apply that release to the fake control plane, and write down what is there then."""
    packed = subprocess.run(["git", "archive", COMMIT, *PARTS], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder / "checkout", filter="data")
    with ControlPlane() as google:
        root = terraform.root(folder / "root", folder / "checkout", google.provider, **VARIABLES)
        terraform.run(root, "apply", "-auto-approve", "-input=false", "-no-color", "-parallelism=64")
        for resource in google.resources.values():
            resource.pop("media", None)
        state = json.loads((root / "terraform.tfstate").read_text())
        state["resources"] = [each for each in state["resources"] if each["mode"] == "managed"]
        content = {
            "state": {**state, "check_results": None},
            "resources": google.resources,
            "policies": google.policies,
        }
    FILE.write_text(json.dumps(content, indent=1, sort_keys=True).replace(str(folder), "/somewhere") + "\n")


def main() -> None:
    """Make the file anew."""
    build = Path(__file__).parent / "providers" / "build"
    configuration = subprocess.run([build], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        make(Terraform("terraform", Path(configuration)), Path(folder))


if __name__ == "__main__":
    main()
