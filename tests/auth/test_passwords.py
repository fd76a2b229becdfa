"""Checks of passwords: what they cost, and that no caller is kept from them by others."""

import contextlib
import threading
from collections.abc import Iterator

import bcrypt
import pytest

from lading.auth.access_files import COST, Users, read_users
from lading.auth.login_delay import MAX_ATTEMPTS
from lading.auth.passwords import MAX_CHECKS, MAX_WAITING_CHECKS, RESERVED_CHECKS, Passwords
from lading.http.client_address import ClientAddress
from lading.registry.errors import UNAVAILABLE, RegistryError
from tests.auth.bcrypt_work import BcryptWork
from tests.auth.concurrent_callers import run_concurrent_callers

HOME = ClientAddress("192.0.2.1", "192.0.2.1")
ELSEWHERE = ClientAddress("192.0.2.2", "192.0.2.2")
OF_ONE_NETWORK = MAX_WAITING_CHECKS // 2 + 1
"""Guesses from one network that are at work or wait: it has one of the places that are not reserved."""


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[BcryptWork]:
    counted = BcryptWork(monkeypatch)
    yield counted
    counted.go_on.set()


def hashed(password: str, cost: int) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost))


USERS = Users({"alice": hashed("right", 4), "bob": hashed("bob's", 4)}, 4)


def test_every_check_costs_as_much_as_the_slowest_hash(work: BcryptWork) -> None:
    users = Users({f"user{cost}": hashed("right", cost) for cost in (4, 5, 7, 9)}, 9)

    for name in (*users.hashes, "nobody"):
        passwords = Passwords()
        assert not passwords.verify(name, "wrong", users, HOME)
        assert work.spent() == 2**9, name
        assert passwords.verify(name, "right", users, HOME) == (name != "nobody")
        assert work.spent() == 2**9, name


def test_the_cost_is_that_of_the_file() -> None:
    text = "".join(f"user{cost}:{hashed('x', cost).decode()}\n" for cost in (4, 6))

    assert read_users(text).cost == 6
    assert read_users(text).weakly_hashed == ["user4", "user6"]
    assert read_users("").cost == COST


@pytest.mark.parametrize("guesses", [24, 500])
def test_a_flood_of_guesses_blocks_no_known_user(work: BcryptWork, guesses: int) -> None:
    """The flood holds all that it can get: its checks do not end before the others have logged in."""
    passwords = Passwords()
    assert passwords.verify("bob", "bob's", USERS, HOME)
    work.stopped = lambda password: password.startswith(b"guess")
    numbers = iter(range(guesses))

    def guess() -> None:
        number = next(numbers)
        passwords.verify(f"user{number}", f"guess {number}", USERS, HOME)

    class LoggedIn(threading.Event):
        """Set once the flood has all that it gets; its checks end after the others have logged in."""

        def set(self) -> None:
            assert passwords.verify("alice", "right", USERS, ELSEWHERE), "from another address"
            assert passwords.verify("bob", "bob's", USERS, HOME), "from the same address"
            new = Users(USERS.hashes | {"bob": hashed("new", 4)}, 4)
            assert passwords.verify("bob", "new", new, HOME), "with a new password, too"
            work.go_on.set()

    turned_away, kept = run_concurrent_callers(guess, guesses, OF_ONE_NETWORK, LoggedIn())

    assert turned_away == [UNAVAILABLE] * (guesses - OF_ONE_NETWORK)
    assert kept == []


def test_guesses_from_many_addresses_leave_a_place_to_who_logged_in_lately(work: BcryptWork) -> None:
    passwords = Passwords()
    assert passwords.verify("bob", "bob's", USERS, HOME)
    work.stopped = lambda password: password.startswith(b"guess")
    numbers = iter(range(100))
    kept = MAX_CHECKS - RESERVED_CHECKS + MAX_WAITING_CHECKS

    def guess() -> None:
        number = next(numbers)
        passwords.verify("bob", f"guess {number}", USERS, ClientAddress("", f"198.51.100.{number}"))

    class LoggedIn(threading.Event):
        def set(self) -> None:
            new = Users({"bob": hashed("new", 4)}, 4)
            assert passwords.verify("bob", "new", new, HOME)
            work.go_on.set()

    turned_away, _ = run_concurrent_callers(guess, 100, kept, LoggedIn())

    assert turned_away == [UNAVAILABLE] * (100 - kept)


def test_wrong_passwords_are_remembered_and_cost_nothing_twice(work: BcryptWork) -> None:
    passwords = Passwords()
    for _ in range(20):
        assert not passwords.verify("alice", "wrong", USERS, HOME)
        assert not passwords.verify("nobody", "right", USERS, HOME)

    assert work.checks == 2


def test_guesses_are_delayed_by_name_and_network_and_a_good_login_ends_it(work: BcryptWork) -> None:
    now = [1000.0]
    passwords = Passwords(lambda: now[0])

    def refusal(user: str, password: str, client: ClientAddress) -> int:
        try:
            passwords.verify(user, password, USERS, client)
        except RegistryError as error:
            return int(error.detail["retry_after"])
        return 0

    assert [refusal("alice", f"guess {number}", HOME) for number in range(5)] == [0, 0, 0, 0, 1]
    spent = work.checks
    assert refusal("alice", "right", HOME) == 1, "a right password is not told from a wrong one"
    assert work.checks == spent, "and costs nothing"
    assert refusal("alice", "right", ELSEWHERE) == 0, "no account is locked from elsewhere"
    assert refusal("alice", "right", HOME) == 1, "and a login elsewhere is no help for a guess here"
    assert refusal("bob", "bob's", HOME) == 0, "nor another user of that network"
    for expected in (1, 2, 4, 8, 16, 30, 30):
        now[0] += 30
        assert refusal("alice", f"later {now[0]}", HOME) == 0
        assert refusal("alice", "guess", HOME) == expected
    now[0] += 30
    assert refusal("alice", "right", HOME) == 0
    assert refusal("alice", "wrong again", HOME) == 0
    assert refusal("alice", "and again", HOME) == 0, "the failures before the good login are forgotten"


def test_who_logged_in_lately_is_let_in_within_the_delay(work: BcryptWork) -> None:
    passwords = Passwords()
    assert passwords.verify("alice", "right", USERS, HOME)
    for number in range(4):
        assert not passwords.verify("alice", f"guess {number}", USERS, HOME)
    with pytest.raises(RegistryError):
        passwords.verify("alice", "another guess", USERS, HOME)

    assert passwords.verify("alice", "right", USERS, HOME)


@pytest.mark.parametrize("looks", range(30))
def test_a_right_password_is_never_wrong_because_the_delay_ends_meanwhile(work: BcryptWork, looks: int) -> None:
    """The delay ends after the clock has been looked at so often within the one login."""
    times: Iterator[float] = iter(())
    passwords = Passwords(lambda: next(times, 1001.0))
    times = iter([1000.0] * 100)
    for number in range(4):
        assert not passwords.verify("alice", f"guess {number}", USERS, HOME)
    times = iter([1000.0] * looks)

    with contextlib.suppress(RegistryError):
        assert passwords.verify("alice", "right", USERS, HOME)


def test_what_is_remembered_cannot_be_guessed_at_full_speed(work: BcryptWork) -> None:
    now = [1000.0]
    passwords = Passwords(lambda: now[0])

    def is_let_in(password: str) -> bool:
        try:
            return passwords.verify("alice", password, USERS, HOME)
        except RegistryError as error:
            return error.descriptor.status != 429

    assert is_let_in("right")
    for number in range(MAX_ATTEMPTS + 4):
        assert not is_let_in(f"guess {number}")
    assert not is_let_in("right")
    now[0] += 1
    assert is_let_in("right"), "the delay is over"
    assert work.checks == 5


def test_the_network_alone_has_a_larger_allowance(work: BcryptWork) -> None:
    now = [1000.0]
    passwords = Passwords(lambda: now[0])
    assert passwords.verify("bob", "bob's", USERS, HOME)
    for number in range(31):
        assert not passwords.verify(f"user{number}", "guess", USERS, HOME)

    with pytest.raises(RegistryError) as raised:
        passwords.verify("user99", "guess", USERS, HOME)
    assert raised.value.descriptor.status == 429
    with pytest.raises(RegistryError):
        passwords.verify("alice", "right", USERS, HOME)
    assert passwords.verify("alice", "right", USERS, ELSEWHERE)
    new = Users(USERS.hashes | {"bob": hashed("new", 4)}, 4)
    assert passwords.verify("bob", "new", new, HOME), "who logged in lately is not delayed by others"
    now[0] += 1
    assert passwords.verify("alice", "right", USERS, HOME)


def test_a_new_hash_ends_what_was_remembered(work: BcryptWork) -> None:
    passwords = Passwords()
    assert passwords.verify("alice", "right", USERS, HOME)
    assert not passwords.verify("alice", "new", USERS, HOME)
    new = Users({"alice": hashed("new", 4)}, 4)

    assert not passwords.verify("alice", "right", new, HOME)
    assert passwords.verify("alice", "new", new, HOME)
    assert not passwords.verify("alice", "new", Users({}, 4), HOME)


def test_no_byte_of_a_password_is_an_accident(work: BcryptWork) -> None:
    for password in ("\0", "a\0b", "é" * 40, "x" * 73, "\ud800"[:0] + "x"):
        assert not Passwords().verify("alice", password, USERS, HOME)
