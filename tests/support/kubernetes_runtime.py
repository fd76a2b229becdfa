"""containerd as Kubernetes uses it: its Container Runtime Interface, over gRPC, without a client of its own.

https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto has the messages, by the numbers of
their fields. Few are needed, so they are written by hand.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from tests.support.container_daemons import CONTAINERD_HINTS, running_containerd
from tests.support.requirements import find_program
from tests.support.server_process import PROCESS_TIMEOUT

CONFIGURATION: Final = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_cgroup = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    disable_snapshot_annotations = true
"""

CONFIGURATION_2: Final = """version = 3
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
[plugins."io.containerd.cri.v1.runtime"]
  disable_cgroup = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "{shim}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  disable_snapshot_annotations = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
"""
"""The same of containerd 2, which pulls by its transfer service."""

NODE: Final = [(1, 2), (2, 2), (3, 2)]
"""NamespaceOption: network, processes and IPC of the machine."""

EXITED: Final = 2

Fields = Sequence[tuple[int, Any]]


def encode(fields: Fields) -> bytes:
    """Return a message of protobuf: numbers, texts, and messages as lists of fields."""
    message = b""
    for number, value in fields:
        if isinstance(value, int):
            message += _number(number << 3) + _number(value)
        else:
            content = value.encode() if isinstance(value, str) else encode(value)
            message += _number(number << 3 | 2) + _number(len(content)) + content
    return message


def decode(message: bytes) -> dict[int, Any]:
    """Return the first value of each field: numbers, and bytes."""
    fields: dict[int, Any] = {}
    while message:
        tag, message = _read_number(message)
        value: Any
        value, message = _read_number(message)
        if tag & 7:
            value, message = message[:value], message[value:]
        fields.setdefault(tag >> 3, value)
    return fields


def _number(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _number(rest) if rest else bytes([low])


def _read_number(message: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for position, byte in enumerate(message):
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, message[position + 1 :]
    raise AssertionError("a number that does not end")


class KubernetesRuntime:
    """What a kubelet does with containerd, in one pod."""

    def __init__(self, channel: grpc.Channel, logs: Path) -> None:
        self._channel = channel
        self._logs = logs
        self._number = 0
        self._pod_config: Fields = [(1, [(1, "pod"), (2, "id"), (3, "space")]), (3, str(logs)), (8, [(2, [(1, NODE)])])]
        self._pod = ""

    def pull(self, image: str, credentials: str = "") -> None:
        """Pull an image; `credentials` is USER:SECRET, or "". Raises grpc.RpcError with the reason."""
        user, _, secret = credentials.partition(":")
        authorization: Fields = [(2, [(1, user), (2, secret)])] if credentials else []
        self._call("ImageService/PullImage", [(1, [(1, image)]), *authorization])

    def output(self, image: str, command: str) -> str:
        """Run a command of an image; return what it says, or raise grpc.RpcError."""
        self._number += 1
        name = f"container{self._number}"
        self.pull(image)
        self._pod = self._pod or self._call("RuntimeService/RunPodSandbox", [(1, self._pod_config)])[1].decode()
        security: Fields = [(2, [(3, NODE)])]
        config: Fields = [(1, [(1, name)]), (2, [(1, image)]), (3, command), (11, name), (15, security)]
        created = self._call("RuntimeService/CreateContainer", [(1, self._pod), (2, config), (3, self._pod_config)])
        container = created[1].decode()
        self._call("RuntimeService/StartContainer", [(1, container)])
        deadline = time.monotonic() + PROCESS_TIMEOUT
        while decode(self._call("RuntimeService/ContainerStatus", [(1, container)])[1]).get(3) != EXITED:
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.05)
        return (self._logs / name).read_text()

    def close(self) -> None:
        """Remove the pod with its containers, and what is mounted for them."""
        if self._pod:
            self._call("RuntimeService/StopPodSandbox", [(1, self._pod)])
            self._call("RuntimeService/RemovePodSandbox", [(1, self._pod)])

    def _call(self, method: str, fields: Fields) -> dict[int, Any]:
        call = self._channel.unary_unary(
            f"/runtime.v1.{method}", request_serializer=encode, response_deserializer=decode
        )
        found: dict[int, Any] = call(fields, timeout=PROCESS_TIMEOUT)
        return found


@contextlib.contextmanager
def kubernetes_runtime(folder: Path, pause: str, version: str = "") -> Iterator[KubernetesRuntime]:
    """A runtime that has nothing yet. `pause` is the image of pods, whose command does not end."""
    if version:
        shim = find_program("containerd2-shim", CONTAINERD_HINTS[version])
        configuration = CONFIGURATION_2.format(pause=pause, shim=shim)
    else:
        configuration = CONFIGURATION.format(pause=pause)
    with (
        running_containerd(folder, configuration, version) as address,
        grpc.insecure_channel(f"unix://{address}") as channel,
        contextlib.closing(KubernetesRuntime(channel, folder)) as runtime,
    ):
        yield runtime
