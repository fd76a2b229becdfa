"""A proxy that lets calls over gRPC fail by plan: Firestore's queries and commits.

It knows nothing of the messages: bytes come in and go out. A reset is a real one, of the connection (relay).
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn

import grpc

from tests.faults.protocol_relay import Relay
from tests.support.fault_plan import ANYWHERE, DELAY, STATUSES, FaultKind, Plan

SERVICE: Final = "/google.firestore.v1.Firestore/"
STREAMING: Final = frozenset({"BatchGetDocuments", "RunQuery", "RunAggregationQuery"})
"""Calls that are answered with a stream; all others with one message."""

STATUS_OF: Final = {
    FaultKind.INTERNAL: grpc.StatusCode.INTERNAL,
    FaultKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    FaultKind.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FaultKind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
}
ANY_SIZE: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@contextlib.contextmanager
def failing_grpc(upstream: str, plan: Plan, relay: Relay) -> Iterator[int]:
    """The port of a proxy before the server at `upstream`; its clients come through `relay`."""
    with ThreadPoolExecutor(16) as pool, grpc.insecure_channel(upstream, ANY_SIZE) as channel:
        server = grpc.server(pool, options=ANY_SIZE)
        port = server.add_insecure_port("127.0.0.1:0")
        server.add_generic_rpc_handlers([_ForwardingHandler(channel, relay, plan)])
        server.start()
        yield port
        server.stop(None).wait()


class _ForwardingHandler(grpc.GenericRpcHandler):
    """Answers every call as the channel does, unless the plan says otherwise."""

    def __init__(self, channel: grpc.Channel, relay: Relay, plan: Plan) -> None:
        self._channel = channel
        self._relay = relay
        self._plan = plan

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method.removeprefix(SERVICE)
        if method in STREAMING:
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self._stream(method, request, context))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._one(method, request, context))

    def _one(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        kind = self._apply_fault(ANYWHERE, context)
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(SERVICE + method)
        with forwarding_errors(context):
            answer = ask(request, metadata=metadata_of(context))
        if kind is FaultKind.RESET_AFTER:
            self._reset(context)
        return answer

    def _stream(self, method: str, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        kind = self._apply_fault(ANYWHERE | {FaultKind.CUT}, context)
        ask: grpc.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(SERVICE + method)
        with forwarding_errors(context):
            answers = list(ask(request, metadata=metadata_of(context)))
        if kind is FaultKind.CUT:
            yield from answers[: len(answers) // 2]
        if kind in (FaultKind.CUT, FaultKind.RESET_AFTER):
            self._reset(context)
        yield from answers

    def _apply_fault(self, possible: frozenset[FaultKind], context: grpc.ServicerContext) -> FaultKind | None:
        """What is to happen after the call took effect; what happens before has happened."""
        kind = self._plan.next_fault(possible)
        if kind in STATUSES:
            context.abort(STATUS_OF[kind], "by plan")
        if kind is FaultKind.RESET_BEFORE:
            self._reset(context)
        if kind is FaultKind.DELAY:
            time.sleep(DELAY)
        return kind

    def _reset(self, context: grpc.ServicerContext) -> NoReturn:
        self._relay.reset()
        context.abort(grpc.StatusCode.UNAVAILABLE, "nobody hears this")


def metadata_of(context: grpc.ServicerContext) -> tuple[tuple[str, str | bytes], ...]:
    """What the client sent along, without what gRPC sends by itself."""
    sent = context.invocation_metadata()
    return tuple((name, value) for name, value in sent if not name.startswith(("grpc-", "user-")))


@contextlib.contextmanager
def forwarding_errors(context: grpc.ServicerContext) -> Iterator[None]:
    """Let the client have the status that upstream gave."""
    try:
        yield
    except grpc.RpcError as error:
        context.abort(error.code(), error.details() or "")
