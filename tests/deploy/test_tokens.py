"""A token that Google refuses before it expires, as after a revocation: one new token, and one more request."""

from datetime import UTC, datetime, timedelta

import google.auth.exceptions
import google.oauth2.credentials
import pytest

from deployer.google_api import GoogleApi
from deployer.outcomes import Outcome
from deployer.run import run
from tests.deploy.fake_server import TOKEN
from tests.deploy.google_world import TARGETS, GoogleWorld, event, image, rules_of


class Tokens:
    """Credentials that have a refused token, and get the next of `tokens` by each refresh."""

    def __init__(self, *tokens: str) -> None:
        self.refreshes = 0
        self._tokens = list(tokens)
        self.credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]
            "ya29.revoked", expiry=self._expiry(), refresh_handler=self._refresh
        )

    @staticmethod
    def _expiry() -> datetime:
        """The library's times are in UTC and do not say so."""
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)

    def _refresh(self, request: object, scopes: object) -> tuple[str, datetime]:
        self.refreshes += 1
        if not self._tokens:
            raise google.auth.exceptions.RefreshError("the account is disabled")  # type: ignore[no-untyped-call]
        return self._tokens.pop(0), self._expiry()


@pytest.mark.parametrize("kind", TARGETS)
def test_a_refused_token_is_replaced_once(world: GoogleWorld, kind: str) -> None:
    tokens = Tokens(TOKEN)
    api = GoogleApi(tokens.credentials, world.endpoints)
    (deployment,) = run(api, rules_of(kind), event(1))
    assert deployment.outcome is Outcome.DEPLOYED, deployment.error
    assert world.deployed(kind) == [image(1)]
    assert tokens.refreshes == 1


def test_a_second_refusal_is_an_error_that_a_later_delivery_may_not_get(world: GoogleWorld) -> None:
    tokens = Tokens("ya29.revoked-too")
    (deployment,) = run(GoogleApi(tokens.credentials, world.endpoints), rules_of("cloud_run"), event(1))
    assert (deployment.outcome, deployment.permanent) == (None, False)
    assert "returned 401" in deployment.error
    assert (tokens.refreshes, len(world.servers["run"].calls)) == (1, 2)


def test_without_a_new_token_the_error_says_why(world: GoogleWorld) -> None:
    (deployment,) = run(GoogleApi(Tokens().credentials, world.endpoints), rules_of("cloud_run"), event(1))
    assert (deployment.outcome, deployment.permanent) == (None, False)
    assert "the account is disabled" in deployment.error
