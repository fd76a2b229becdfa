"""The registries that are compared: each a process of its own, on a fresh folder; or one that runs somewhere, by URL.

lading           `lading serve`
distribution     distribution v3, as its config-example.yml has it, over a folder
docker-registry  Debian's distribution 2.8, in the same way
nothing          answers every push at once and keeps nothing: what a client needs with it is the client's own

With `--access token` each takes tokens and nothing else, as a registry does that others can reach: Lading those that
its own /v2/token gives out, distribution those of an issuer that the benchmark plays.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.benchmarks.generator import built
from tests.benchmarks.process_usage import Tree
from tests.support.server_process import serving, user_environment

REPOSITORY: Final = "bench/app"
"""Where everything is pushed to, but what must be elsewhere."""

ACCEPT: Final = "Accept: application/vnd.oci.image.manifest.v1+json"
"""Without it, distribution says that there is no such manifest."""

DISTRIBUTION: Final = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lading" / "bin"
"""Where distribution is installed, unless it is there: where `.ci/run` keeps what it builds."""


class NoPeerError(Exception):
    """A registry cannot be started; the message says how to install it."""


@dataclass
class Peer:
    """A registry that answers.

    address   HOST:PORT
    tree      its processes, or None where it runs elsewhere
    keeps     whether what is pushed can be pulled
    folder    where it keeps what it has, or None where it runs elsewhere
    token     gives out a token for the repository, or None where everybody may do everything
    prepared  what was pushed to it before, by name
    """

    name: str
    address: str
    tree: Tree | None = None
    keeps: bool = True
    folder: Path | None = None
    token: Callable[[], str] | None = None
    prepared: dict[str, Any] = field(default_factory=dict)

    def headers(self) -> list[str]:
        """The lines that each request needs. A token is new each time: it lives five minutes."""
        return [ACCEPT, *([f"Authorization: Bearer {self.token()}"] if self.token else [])]

    def once(self, name: str, prepare: Callable[["Peer"], Any]) -> Any:
        """What `prepare` answered when it was first called under this name."""
        if name not in self.prepared:
            self.prepared[name] = prepare(self)
        return self.prepared[name]


@contextlib.contextmanager
def lading_peer(folder: Path, access: str) -> Iterator[Peer]:
    """Lading, from this checkout."""
    variables, login = user_environment(folder) if access == "token" else ({"LADING_ACCESS": "everybody"}, "")
    environment = {**variables, "LADING_DATA": str(folder / "data")}
    with serving(environment, folder / "log", new=True) as server:
        server.authorization = login

        def token() -> str:
            _, answer = server.request("GET", f"/v2/token?scope=repository:{REPOSITORY}:pull,push")
            text: str = json.loads(answer)["token"]
            return text

        yield Peer("lading", server.host, Tree(server.process.pid), folder=folder, token=token if login else None)


@contextlib.contextmanager
def distribution(folder: Path, access: str) -> Iterator[Peer]:
    """distribution v3. Its traces are off: out of the box it tries to send them to a port of this machine."""
    with _distribution("distribution", _built_distribution(), folder, access) as peer:
        yield peer


@contextlib.contextmanager
def traced_distribution(folder: Path) -> Iterator[tuple[Peer, Path]]:
    """distribution v3 without the cache that only a long life fills, and the file in which it tells what it does."""
    printing = {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with _distribution("distribution", _built_distribution(), folder, "everybody", printing) as peer:
        yield peer, folder / "log"


@contextlib.contextmanager
def docker_registry(folder: Path, access: str) -> Iterator[Peer]:
    """Debian's."""
    if access == "token":
        raise NoPeerError("docker-registry 2.8 knows no JWKS; compare it with --access everybody")
    program = shutil.which("docker-registry")
    if program is None:
        raise NoPeerError("docker-registry is not here: apt install docker-registry")
    with _distribution("docker-registry", Path(program), folder, access) as peer:
        yield peer


@contextlib.contextmanager
def null_peer(folder: Path, access: str) -> Iterator[Peer]:
    """What no registry can be faster than."""
    command = [built(), "answer", "-address", "127.0.0.1:{port}"]
    with serving({}, folder / "log", command=command) as server:
        yield Peer("nothing", server.host, Tree(server.process.pid), keeps=False)


@contextlib.contextmanager
def remote_peer(name: str, address: str) -> Iterator[Peer]:
    """A registry that runs already, and lets everybody in."""
    yield Peer(name, address)


STARTERS: Final[Mapping[str, Callable[[Path, str], contextlib.AbstractContextManager[Peer]]]] = {
    "lading": lading_peer,
    "distribution": distribution,
    "docker-registry": docker_registry,
    "nothing": null_peer,
}


@contextlib.contextmanager
def running(names: Sequence[str], folder: Path, access: str) -> Iterator[list[Peer]]:
    """All that are named, by a name of STARTERS or as NAME=HOST:PORT, until the block ends."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(start(name, folder, access)) for name in names]


def start(name: str, folder: Path, access: str) -> contextlib.AbstractContextManager[Peer]:
    """One of them. Raises NoPeerError."""
    own, is_address, address = name.partition("=")
    if is_address:
        return remote_peer(own, address)
    place = folder / f"{name}-{time.monotonic_ns()}"
    place.mkdir(parents=True)
    return STARTERS[name](place, access)


def _built_distribution() -> Path:
    program = CACHE / "registry"
    if not program.exists():
        print(f"go install {DISTRIBUTION}")
        environment = {**os.environ, "GOBIN": str(CACHE), "GOFLAGS": "-buildvcs=false"}
        subprocess.run(["go", "install", DISTRIBUTION], env=environment, check=True)
    return program


@contextlib.contextmanager
def _distribution(
    name: str, program: Path, folder: Path, access: str, printing: Mapping[str, str] | None = None
) -> Iterator[Peer]:
    configuration: dict[str, Any] = {
        "version": 0.1,
        "log": {"fields": {"service": "registry"}},
        "storage": {
            "cache": {"blobdescriptor": "inmemory"},
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {"secret": "of this run", "headers": {"X-Content-Type-Options": ["nosniff"]}},
    }
    token = None
    if printing:
        del configuration["storage"]["cache"]
    if access == "token":
        token, configuration["auth"] = _issuer(folder)
    # What is JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(configuration))
    command = ["env", "REGISTRY_HTTP_ADDR=127.0.0.1:{port}", str(program), "serve", str(folder / "config.yml")]
    with serving(printing or {"OTEL_TRACES_EXPORTER": "none"}, folder / "log", command=command) as server:
        yield Peer(name, server.host, Tree(server.process.pid), folder=folder, token=token)


def _issuer(folder: Path) -> tuple[Callable[[], str], dict[str, Any]]:
    """An issuer of tokens, and how distribution is told to trust it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), "benchmark"
    public = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).to_jwk(key.public_key(), as_dict=True)
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": name, "use": "sig", "alg": "ES256"}]}))
    access = [{"type": "repository", "name": REPOSITORY, "actions": ["pull", "push"]}]

    def token() -> str:
        now = int(time.time())
        claims = {"iss": name, "aud": name, "sub": "admin", "iat": now, "nbf": now, "exp": now + 300, "jti": str(now)}
        return jwt.encode({**claims, "access": access}, key, "ES256", headers={"kid": name})

    words = {"realm": "http://127.0.0.1/token", "service": name, "issuer": name, "jwks": str(folder / "jwks.json")}
    return token, {"token": words}
