"""MeteredApp: the app with metrics of its requests. The only place where requests are measured."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Final

from werkzeug.wrappers import Request

from lading.app import App
from lading.audit import REFUSALS
from lading.auth.access import Action, Authenticator
from lading.http.responses import Response
from lading.metrics import metric_rows as rows
from lading.metrics.instruments import Instruments
from lading.registry.registry import Registry
from lading.settings import Settings
from lading.surface.route import Match

if TYPE_CHECKING:
    from lading.registry.policies.decision_log import CountedDecision

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""Methods with a label of their own, and the label of all others, as of namespaces and policies beyond their limits."""

MAX_NAMESPACES: Final = 100
MAX_POLICIES: Final = 100

MANIFESTS: Final = "end-3"
"""The route of a pull."""

TOKEN: Final = "token"  # noqa: S105  # the name of a route


class Transfer:
    """Bytes of the bodies of one request and its response, and when it began."""

    __slots__ = ("began", "received", "sent")

    def __init__(self) -> None:
        """Begin now."""
        self.began = time.perf_counter()
        self.received = 0
        self.sent = 0

    def count_sent(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and count their bytes."""
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk


class CountedInput:
    """The input of a WSGI server, whose bytes are counted: a chunked body has no Content-Length."""

    def __init__(self, stream: IO[bytes], transfer: Transfer) -> None:
        """Count the bytes of `stream`."""
        self._stream = stream
        self._transfer = transfer

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as the server does."""
        chunk = self._stream.read(size)
        self._transfer.received += len(chunk)
        return chunk


class MeteredApp(App):
    """The app of a server with metrics. A request is counted when its response has been sent, or was abandoned."""

    def __init__(  # noqa: PLR0913  # those of App, and one
        self,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        read_only: str,
        reserve: Callable[[], AbstractContextManager[None]],
        *,
        instruments: Instruments,
    ) -> None:
        """Count in `instruments`. See App for the other arguments."""
        super().__init__(registry, settings, authenticator, read_only, reserve)
        self._requests = instruments[rows.REQUESTS]
        self._durations = instruments[rows.REQUEST_DURATION]
        self._in_flight = instruments[rows.IN_FLIGHT]
        self._received = instruments[rows.REQUEST_SIZE]
        self._sent = instruments[rows.RESPONSE_SIZE]
        self._decisions = instruments[rows.AUTH_DECISIONS]
        self._pulls = instruments[rows.PULLS]
        self._policies = instruments[rows.POLICY_DECISIONS]
        self._policy_names = set[str]()
        registry.gates.on_decision = self._count_policy_decision
        budget = self._dispatcher.budget
        instruments[rows.SLOW_CLIENT_THREADS][()].set_function(lambda: budget.held)
        instruments[rows.SLOW_CLIENT_THREADS_LIMIT][()].set(budget.total)

    def _respond(self, request: Request) -> Response:
        """Return the response to a request, which is counted at its end. See App.respond."""
        transfer = Transfer()
        match = self.match(request)
        is_anonymous = "HTTP_AUTHORIZATION" not in request.environ
        request.environ["wsgi.input"] = CountedInput(request.environ["wsgi.input"], transfer)
        in_flight = self._in_flight[(match.route.spec,)]
        in_flight.inc()
        response = super()._respond(request)
        if isinstance(response.content, bytes):
            transfer.sent = len(response.content)
        else:
            response.content = transfer.count_sent(response.content)
        status = response.status

        def count() -> None:
            in_flight.dec()
            self._count(match, status, transfer)
            self._count_decision(match, status, is_anonymous)

        response.call_on_close(count)
        return response

    def _count(self, match: Match, status: int, transfer: Transfer) -> None:
        handler = match.route.spec
        method = match.method if match.method in METHODS else OTHER
        self._requests[handler, method, str(status)].inc()
        self._durations[(handler,)].observe(time.perf_counter() - transfer.began)
        self._received[(handler,)].observe(transfer.received)
        self._sent[(handler,)].observe(transfer.sent)
        if handler == MANIFESTS and method == "GET" and status == 200:
            self._count_pull(match.name.partition("/")[0])

    def _count_pull(self, namespace: str) -> None:
        """Count a pull from a repository that exists."""
        values = (namespace,)
        if values not in self._pulls and len(self._pulls) >= MAX_NAMESPACES:
            values = (OTHER,)
        self._pulls[values].inc()

    def _count_policy_decision(self, decision: "CountedDecision") -> None:
        """Count a decision of a policy; of a registry with many policies, those of the first ones by name."""
        policy, mode, outcome = decision
        if policy not in self._policy_names:
            if len(self._policy_names) >= MAX_POLICIES:
                policy = OTHER
            else:
                self._policy_names.add(policy)
        self._policies[policy, mode, outcome].inc()

    def _count_decision(self, match: Match, status: int, is_anonymous: bool) -> None:
        """Count a decision by the action that the route needs, as the audit log names both."""
        if match.route.action is Action.NONE and match.route.spec != TOKEN:
            return
        # Every login begins with an anonymous request; one for a token may have its credentials in a form.
        is_challenge = status == 401 and is_anonymous and (match.route.spec, match.method) != (TOKEN, "POST")
        refused = "challenged" if is_challenge else "refused"
        outcome = refused if status in REFUSALS else "allowed" if status < 400 else "failed"
        self._decisions[match.audit_action, outcome].inc()
