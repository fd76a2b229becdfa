"""`lading explain-access`: whether a caller may do something, and why. `lading login-help`: how clients log in."""

import argparse
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lading.commands import exit_status
from lading.commands.options import ACCESS, CommandError, Commands, add, require_registry, value_or_stdin
from lading.commands.output import Printer, add_output_options
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.auth.access import Caller

HELP: Final = """\
docker, with the account of gcloud. The first line allows hosts that are not Google's: without it the second does
nothing, and the setting must stay while docker is used (Google Cloud SDK 528 has it, much older ones do not):
  gcloud config set artifacts/allow_unrecognized_registry true
  gcloud auth configure-docker {host} --quiet
  {again}

any client, for the hour that a token is valid:
  gcloud auth print-access-token | docker login -u oauth2accesstoken --password-stdin {host}

docker-credential-gcr, where gcloud is not installed:
  docker-credential-gcr configure-docker --registries={host}

a service account's key:
  docker login -u _json_key --password-stdin {host} < key.json
  base64 -w0 key.json | docker login -u _json_key_base64 --password-stdin {host}

a robot, for programs without a Google token:
  lading robots create NAME --repositories 'team/*' --out secret
  docker login -u robot+NAME --password-stdin {host} < secret
  kubectl create secret generic lading --type=kubernetes.io/dockerconfigjson --from-file=.dockerconfigjson=config.json
config.json is the file that docker login wrote without a credential helper ($HOME/.docker/config.json)

a user of a registry without Google accounts (lading users set NAME):
  docker login -u NAME {host}"""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Decision about an access.

    principal  "" where the credentials name none, as anonymous callers' do
    rule       that decided
    consulted  what was read or asked for the decision
    """

    allowed: bool
    principal: str
    action: str
    repository: str
    rule: str
    consulted: tuple[str, ...]


def add_to(commands: Commands) -> None:
    """Add the commands."""
    explain = add(commands, "explain-access", "explain whether a caller may do something", _explain, ACCESS)
    explain.add_argument(
        "--as",
        dest="caller",
        required=True,
        metavar="WHO",
        help="- for a Google token on standard input, robot+NAME, a user's name, or anonymous",
    )
    explain.add_argument(
        "repository", metavar="REPOSITORY", help="with manage: a namespace, whose rules it is about, or * for all rules"
    )
    explain.add_argument("action", metavar="ACTION", choices=["pull", "push", "delete", "manage"])
    add_output_options(explain, DecisionRow, wide=False)
    login = add(commands, "login-help", "print how clients log in to a host", _login_help, ())
    login.add_argument("host", metavar="HOST", help="as clients write it before a repository; https:// is removed")


def _explain(parsed: argparse.Namespace, settings: Settings) -> int:
    """Print the decision; return the exit status."""
    from lading.auth.access import Action
    from lading.registry.errors import RegistryError
    from lading.registry.names import check_repository

    if settings.access == "users" and not settings.is_given("users"):
        require_registry(settings)
    try:
        action, subject = Action(parsed.action), parsed.repository
        if action is Action.MANAGE:
            subject = "" if subject == "*" else f"{subject.partition('/')[0]}/"
        check_repository(subject.rstrip("/") or "all")
        caller = _caller(parsed.caller, settings)
        decision = caller.decide(action, subject)
    except RegistryError as error:
        raise CommandError(f"not allowed: {error.descriptor.message} ({error.descriptor.code})") from None
    row = DecisionRow(
        decision.allowed,
        caller.principal,
        parsed.action,
        parsed.repository,
        decision.rule,
        tuple(map(str, decision.consulted)),
    )
    Printer.of(parsed).record(row, _decision_text(row, is_anonymous=parsed.caller == "anonymous"))
    return exit_status.OK if row.allowed else exit_status.FAILED


def _decision_text(row: DecisionRow, is_anonymous: bool) -> str:
    name = row.principal or ("anonymous" if is_anonymous else "a caller without a name in the token")
    verdict = "allowed" if row.allowed else "not allowed"
    consulted = (f"  asked  {source}" for source in row.consulted)
    return "\n".join([f"{verdict}: {name} {row.action} {row.repository}", f"  rule   {row.rule}", *consulted])


def _caller(who: str, settings: Settings) -> "Caller":
    from lading.auth.authenticator import UNRESTRICTED, AnonymousCaller, AuthenticatedCaller
    from lading.auth.credentials import is_jwt
    from lading.auth.robots import USER_PREFIX
    from lading.auth_composition import open_authorizer, open_keys
    from lading.commands.robots import robots_of

    if settings.access == "everybody":
        return UNRESTRICTED
    if who == "anonymous":
        return AnonymousCaller(settings.public)
    if who.startswith(USER_PREFIX):
        return AuthenticatedCaller(robots_of(settings).caller_named(who.removeprefix(USER_PREFIX)), settings.public)
    token = value_or_stdin(who)
    if who != "-" and (settings.access != "users" or is_jwt(who)):
        raise CommandError("a token is read from standard input, not from an argument: use --as -")
    authorizer = open_authorizer(settings, lambda: open_keys(settings.keys, create=False).load().robots)
    if settings.access == "users":
        from lading.auth.htpasswd import HtpasswdAuthorizer

        assert isinstance(authorizer, HtpasswdAuthorizer)
        if not is_jwt(token):
            _require_user(token, authorizer.users.value.hashes, settings)
            return AuthenticatedCaller(authorizer.caller_named(token), settings.public)
    return AuthenticatedCaller(authorizer.identify("oauth2accesstoken", token), settings.public)


def _require_user(name: str, users: Container[str], settings: Settings) -> None:
    """Raise CommandError where no caller can log in by a name: neither a user's, nor a form that Google uses."""
    if name not in users and "@" not in name and not name.isdigit():
        raise CommandError(f"there is no user {name} in {settings.users}; add it with `lading users set {name}`")


def _login_help(parsed: argparse.Namespace, settings: Settings) -> None:
    host = _host_of(parsed.host)
    print(HELP.format(host=host, again=f"docker push {host}/team/app:v1"))


def _host_of(text: str) -> str:
    """Return HOST or HOST:PORT of a text that may also be a URL, as browsers show it. Raises CommandError."""
    host = urlsplit(text if "://" in text else f"//{text}").netloc
    if not host or not host.isprintable() or host.split() != [host] or "@" in host:
        raise CommandError(f"{text} is not a host such as registry.example.com, or its URL")
    return host
