"""The ten commands of docs/on-premises.md, line by line on a fresh Debian.

It is a chroot, in which systemd enables units but starts none: the test starts what they say, as their users.
"""

import configparser
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import requests

from emulators.processes import free_port
from lading_storage.digests import digest_of
from tests.support.documents import DOCS, ROOT, shell_blocks
from tests.support.image_build import image_base
from tests.support.requirements import skip_or_fail
from tests.support.server_process import PROCESS_TIMEOUT

PAGE: Final = DOCS / "on-premises.md"
PASSWORD: Final = "correct horse"
SOURCE: Final = "root/lading"


@dataclass(frozen=True)
class Machine:
    """A Debian in a folder, with the sources of Lading."""

    root: Path

    def run(self, line: str, stdin: str = "") -> str:
        """Run a line of shell as root, in the folder of the sources; return its output."""
        done = subprocess.run(
            [*self.command("bash", "-euo", "pipefail", "-c", f"cd /{SOURCE} && {line}")],
            input=stdin, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def command(self, *words: str, user: str = "root", **environment: str) -> list[str]:
        """Return the command that runs words inside."""
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "HOME": "/root",
            "DEBIAN_FRONTEND": "noninteractive",
            "SYSTEMD_IN_CHROOT": "1",  # not every sandbox shows it the root of the first process
            # The packages of Python are on the machine already, as those of Debian are in apt's cache.
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/wheels",
            **environment,
        }
        assignments = [f"{name}={value}" for name, value in variables.items()]
        return ["chroot", f"--userspec={user}", str(self.root), "env", "-i", *assignments, *words]

    @contextlib.contextmanager
    def running(self, *words: str, user: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service until the end of the block."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(*words, user=user, **environment), stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PROCESS_TIMEOUT)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    wheels = image_base().wheels
    script = ROOT / "tests" / "on_premises" / "machine"
    made = subprocess.run([script], capture_output=True, text=True, timeout=900, check=False)
    if made.returncode:
        skip_or_fail(f"no Debian can be made: {made.stderr[-1000:]}")
    root = tmp_path / "machine"
    root.mkdir()
    subprocess.run(["tar", "-xf", made.stdout.strip(), "-C", root], check=True, timeout=300)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if (ROOT / name).exists() and not name.startswith("tests/"):
            (root / SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / SOURCE / name)
    shutil.copytree(wheels, root / "wheels")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        yield Machine(root)
    finally:
        subprocess.run(["umount", root / "proc"], check=True)
        shutil.rmtree(root, ignore_errors=True)


def test_ten_commands_make_a_registry_of_a_fresh_machine(machine: Machine, tmp_path: Path) -> None:
    lines = shell_blocks(PAGE)[0].splitlines()
    assert len(lines) == 10
    port, upstream = free_port(), free_port()
    for line in lines:
        machine.run(line.replace("HOST", f"localhost:{port}"), stdin=f"{PASSWORD}\n")
        if line.startswith("sed "):
            # This machine may have servers at the usual ports, and gives only root those below 1024.
            machine.run(f"sed -i s/127.0.0.1:5000/127.0.0.1:{upstream}/ /etc/lading/lading.toml /etc/caddy/Caddyfile")
            options = f"1i {{\\n\\tadmin off\\n\\thttp_port {free_port()}\\n}}"
            machine.run(f"sed -i '{options}' /etc/caddy/Caddyfile")

    enabled = {path.name for path in (machine.root / "etc/systemd/system").glob("*.wants/*")}
    assert enabled >= {"lading.service", "lading-backup.timer", "lading-scrub.timer", "caddy.service"}
    with (
        machine.running(*command_of(machine, "lading"), user="lading", log=tmp_path / "log", LADING_CONFIG=CONFIG),
        machine.running(*CADDY, user="caddy", log=tmp_path / "caddy.log", HOME="/var/lib/caddy"),
    ):
        client = Client(f"https://localhost:{port}", machine.root / AUTHORITY)
        client.wait_until_ready(tmp_path)
        push_and_pull(client)
        for name in ("lading-backup", "lading-scrub"):
            service = machine.command(*command_of(machine, name), user="lading", LADING_CONFIG=CONFIG)
            subprocess.run(service, check=True, timeout=60)
        plan = machine.run(f"runuser -u lading -- lading cleanup plan --config {CONFIG}")
    assert "team/app" in plan
    assert (machine.root / "var/backups/lading/metadata.sqlite").stat().st_size > 0


CONFIG: Final = "/etc/lading/lading.toml"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
AUTHORITY: Final = "var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
CADDY: Final = ("caddy", "run", "--environ", "--config", "/etc/caddy/Caddyfile")


def command_of(machine: Machine, service: str) -> list[str]:
    """Return the command of an installed unit."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(machine.root / "etc/systemd/system" / f"{service}.service")
    assert unit["Service"]["Environment"] == f"LADING_CONFIG={CONFIG}"
    return unit["Service"]["ExecStart"].split()


@dataclass(frozen=True)
class Client:
    """alice, who trusts the authority that Caddy makes for localhost."""

    url: str
    authority: Path

    def request(self, method: str, path: str, body: bytes = b"") -> requests.Response:
        headers = {"Content-Type": MANIFEST_TYPE if "/manifests/" in path else "application/octet-stream"}
        login, authority = ("alice", PASSWORD), str(self.authority)
        return requests.request(
            method, self.url + path, data=body, headers=headers, auth=login, verify=authority, timeout=30
        )

    def wait_until_ready(self, logs: Path) -> None:
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while time.monotonic() < deadline:
            # OSError: there is no authority yet, or no connection.
            with contextlib.suppress(OSError):
                if self.request("GET", "/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("".join(path.read_text() for path in (logs / "log", logs / "caddy.log")))


def push_and_pull(client: Client) -> None:
    """Push an image as alice, who may do so in team/ alone, and pull it."""
    layer, config = os.urandom(3 << 20), b"{}"
    for blob in (layer, config):
        upload = f"blobs/uploads/?digest={digest_of(blob)}"
        assert client.request("POST", f"/v2/team/app/{upload}", blob).status_code == 201
        assert client.request("POST", f"/v2/other/app/{upload}", blob).status_code == 403
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": []}).encode()
    assert client.request("PUT", "/v2/team/app/manifests/v1", manifest).status_code == 201
    assert client.request("GET", "/v2/team/app/manifests/v1").content == manifest
    assert client.request("GET", f"/v2/team/app/blobs/{digest_of(layer)}").content == layer
