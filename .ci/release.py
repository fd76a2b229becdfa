"""Make the files of a release from the committed sources: `python .ci/release.py OUTPUT [--image NAME]`.

    lading_registry-VERSION-py3-none-any.whl    lading_registry-VERSION.tar.gz    lading-VERSION.tgz (Helm chart)
    lading.cdx.json    SBOM of the wheel: what it and its extras need, as the locks pin it
    image.cdx.json     SBOM of the image NAME, which docker builds and tags: Python's packages, and Debian's of its base

The version is that of pyproject.toml. Two runs on one commit make the same bytes: times are the commit's
(SOURCE_DATE_EPOCH), archives are sorted, and what builds is pinned by .ci/requirements.txt. An image is as reproducible
as its base and the builder. Requires git and helm, and docker for an image; the packages of the extra `test`.
"""

import argparse
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
CHART: Final = "terraform/on-premises/chart"
LOCKS: Final = "functions/requirements*.txt"
"""What the wheel needs, and what each of its extras does."""

CONTAINERFILE: Final = "terraform/on-premises/Containerfile"
DOCKER: Final = ("docker",)

LIST_PYTHON: Final = (
    "import json; from importlib.metadata import distributions as d;"
    " print(json.dumps([[x.metadata['Name'], x.version] for x in d()]))"
)
LIST_DEBIAN: Final = (
    "command -v dpkg-query >/dev/null && dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n' || true"
)


class ReleaseError(Exception):
    """The release cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """A container image to build.

    Attributes:
        name: its name and tag.
        base: its base, where it is not the Containerfile's.
        wheels: a folder of all wheels that it needs, where the build has no network.
    """

    name: str
    base: str | None = None
    wheels: Path | None = None


def main() -> int:
    """Make a release."""
    parser = argparse.ArgumentParser(description="Make the files of a release from the committed sources.")
    parser.add_argument("output", type=Path, help="an empty folder, or one that does not exist")
    parser.add_argument("--image", metavar="NAME", help="build and tag a container image as well")
    parser.add_argument("--base", metavar="IMAGE", help="its base (default: the Containerfile's)")
    parser.add_argument("--wheels", metavar="FOLDER", type=Path, help="build it without a network, from these wheels")
    parsed = parser.parse_args()
    image = Image(parsed.image, parsed.base, parsed.wheels) if parsed.image else None
    try:
        release(parsed.output, image)
    except (ReleaseError, subprocess.CalledProcessError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def release(output: Path, image: Image | None = None, commit: str = "HEAD") -> None:
    """Write the files of the release of a commit into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise ReleaseError(f"{output} is not empty; name another folder")
    epoch = int(_output("git", "-C", ROOT, "log", "-1", "--format=%ct", commit))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        _check_out(commit, source)
        version = checked_version(source)
        build_python(source, output, epoch)
        build_chart(source, output, epoch)
        if image:
            revision = _output("git", "-C", ROOT, "rev-parse", commit).strip()
            build_image(source, image, (f"VERSION={version}", f"REVISION={revision}", f"SOURCE_DATE_EPOCH={epoch}"))
            (output / "image.cdx.json").write_text(image_sbom(image.name, version, epoch))
    for path in sorted(output.iterdir()):
        print(path)


def checked_version(source: Path) -> str:
    """Return the version of pyproject.toml. Raises ReleaseError where the chart or the changelog has another."""
    version: str = tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"]
    chart = (source / CHART / "Chart.yaml").read_text()
    if f"\nversion: {version}\n" not in chart or f'\nappVersion: "{version}"\n' not in chart:
        raise ReleaseError(f"{CHART}/Chart.yaml has not the version {version} of pyproject.toml, in both of its lines")
    if f"\n## {version}" not in (log := (source / "CHANGELOG.md").read_text()) and "\n## Unreleased\n" not in log:
        raise ReleaseError(f"CHANGELOG.md has no section for {version}")
    return version


def build_python(source: Path, output: Path, epoch: int) -> None:
    """Build wheel, sdist and the SBOM of the wheel."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", output, source, env=environment)
    (sdist,) = output.glob("*.tar.gz")
    normalize(sdist, epoch)
    lock, project = source / "all-requirements.txt", source / "pyproject.toml"
    lock.write_text("".join(path.read_text() for path in sorted(source.glob(LOCKS))))
    options = ("--pyproject", project, "--output-reproducible", "--output-file", output / "lading.cdx.json")
    _run(sys.executable, "-m", "cyclonedx_py", "requirements", lock, *options, env=environment)


def build_chart(source: Path, output: Path, epoch: int) -> None:
    """Package the chart."""
    _run("helm", "package", source / CHART, "--destination", output)
    (chart,) = output.glob("*.tgz")
    normalize(chart, epoch)


def build_image(source: Path, image: Image, arguments: Sequence[str]) -> None:
    """Build and tag an image."""
    words: list[str | Path] = []
    if image.base:
        arguments = (*arguments, f"BASE={image.base}")
    if image.wheels:
        shutil.copytree(image.wheels, source / "wheels")
        arguments, words = (*arguments, "PIP_NO_INDEX=1"), ["--network", "none"]
    words += [word for each in arguments for word in ("--build-arg", each)]
    _run(*DOCKER, "build", "-f", source / CONTAINERFILE, *words, "-t", image.name, source)


def normalize(archive: Path, epoch: int) -> None:
    """Rewrite a compressed archive with sorted names, one time, and no owners: neither setuptools nor helm does."""
    members: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with tarfile.open(archive) as before:
        for member in before.getmembers():
            # A link has no content of its own, although extractfile follows it.
            file = before.extractfile(member) if member.isreg() else None
            members[member.name] = (member, file.read() if file else b"")
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as after:
        for name, (member, content) in sorted(members.items()):
            new = tarfile.TarInfo(name)
            new.type, new.linkname, new.size, new.mtime = member.type, member.linkname, len(content), epoch
            new.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            after.addfile(new, io.BytesIO(content))
    archive.write_bytes(gzip.compress(written.getvalue(), mtime=epoch))


def image_sbom(image: str, version: str, epoch: int, docker: Sequence[str] = DOCKER) -> str:
    """Return the SBOM of an image, as CycloneDX in JSON: what is installed in it, as it says itself."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    run = (*docker, "run", "--rm", "--network", "none", "--entrypoint")
    python: list[tuple[str, str]] = json.loads(_output(*run, "python", image, "-c", LIST_PYTHON))
    debian = [line.split() for line in _output(*run, "sh", image, "-c", LIST_DEBIAN).splitlines()]
    urls = [PackageURL("pypi", None, name.lower().replace("_", "-"), version) for name, version in python]
    urls += [PackageURL("deb", "debian", name, version, {"arch": kind}) for name, version, kind in debian]
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, " ".join(sorted(map(str, urls)))))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    root = Component(name="lading", version=version, type=ComponentType.CONTAINER, bom_ref=f"lading@{version}")
    bom.metadata.component = root
    bom.components.update(Component(name=url.name, version=url.version, purl=url, bom_ref=str(url)) for url in urls)
    bom.register_dependency(root, bom.components)
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def _check_out(commit: str, folder: Path) -> None:
    """Write the files of a commit into a new folder."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    _run("git", "-C", ROOT, "archive", "--output", archive, commit)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")


def _run(*words: str | Path, **options: Any) -> None:
    subprocess.run([str(word) for word in words], check=True, **options)


def _output(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
