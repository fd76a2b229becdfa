"""The life of a container: how it ends, and that nothing of it is left."""

import os
import signal
import socket
import time

import pytest

from emulators.cloud import STOP_TIMEOUT, Cloud
from tests.cloud.containers import open_upload, processes_of, repository, server_of
from tests.cloud.h2c_requests import connected

PROGRAMS = ("envoy", "python")


def are_gone(session: int) -> bool:
    """Return whether all processes of a session end within the time that a container has."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(session)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_death_of_a_process_ends_the_container(cloud: Cloud, program: str) -> None:
    """Cloud Run starts another one; a container of which a half lives would answer 503 for ever, or nothing."""
    with cloud.run_another() as container:
        session = container.process.pid
        running = processes_of(session)
        assert len(running) == 3, running
        (victim,) = (pid for pid, name in running.items() if name.startswith(program) and pid != session)

        os.kill(victim, signal.SIGKILL)

        assert container.process.wait(STOP_TIMEOUT) != 0
        assert are_gone(session), processes_of(session)


def test_a_container_ends_in_time_whatever_its_clients_do(cloud: Cloud) -> None:
    with cloud.run_another() as container:
        server, session = server_of(container, cloud), container.process.pid
        with (
            connected(server) as silent,
            connected(server) as uploading,
            socket.create_connection(("127.0.0.1", container.port), 30) as unspoken,
        ):
            assert silent.request("GET", "/v2/").status == 200
            stalled = uploading.send_headers("PATCH", open_upload(uploading, repository()))
            uploading.send(stalled, bytes(100_000))
            unspoken.sendall(b"GET /v2/ HT")

            container.process.terminate()

            container.process.wait(STOP_TIMEOUT)
            assert are_gone(session), processes_of(session)


def test_what_is_finished_in_time_is_answered(cloud: Cloud) -> None:
    with cloud.run_another() as container, connected(server_of(container, cloud)) as http2:
        stream = http2.send_headers("PATCH", open_upload(http2, repository()))
        http2.send(stream, bytes(100_000))
        time.sleep(0.5)

        container.process.terminate()
        time.sleep(0.5)
        http2.send(stream, bytes(100_000), end=True)

        answer = http2.wait_for_response(stream)
        assert (answer.status, answer.headers["range"]) == (202, "0-199999")
        container.process.wait(STOP_TIMEOUT)
