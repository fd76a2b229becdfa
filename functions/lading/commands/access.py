"""`lading explain-access`: who may do what, and why. `lading login-help`: how clients log in."""

import argparse
from collections.abc import Container
from typing import TYPE_CHECKING, Final

from lading.commands.options import ACCESS, CommandError, Commands, add, require_registry, value_or_stdin
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.auth.access import Caller

HELP: Final = """\
docker, with the account that gcloud has; the first line lets gcloud serve a host that is not Google's: without it the
second one does nothing, and it must hold whenever docker runs (Google Cloud SDK 528 has it, much older ones do not):
  gcloud config set artifacts/allow_unrecognized_registry true
  gcloud auth configure-docker {host} --quiet
  {again}

any client, for the hour that a token lives:
  gcloud auth print-access-token | docker login -u oauth2accesstoken --password-stdin {host}

docker-credential-gcr, where gcloud is not installed:
  docker-credential-gcr configure-docker --registries={host}

a service account's key:
  docker login -u _json_key --password-stdin {host} < key.json
  base64 -w0 key.json | docker login -u _json_key_base64 --password-stdin {host}

a robot, where no Google token can be had:
  lading robots create NAME --repositories 'team/*' --out secret
  docker login -u robot+NAME --password-stdin {host} < secret
  kubectl create secret generic lading --type=kubernetes.io/dockerconfigjson --from-file=.dockerconfigjson=config.json
where config.json is what docker login wrote without a credential helper ($HOME/.docker/config.json)

a user of a registry that asks no Google (lading users set NAME):
  docker login -u NAME {host}"""


def add_to(commands: Commands) -> None:
    """Add the commands."""
    explaining = add(commands, "explain-access", "say who may do what, and why", _explain, ACCESS)
    explaining.add_argument(
        "--as",
        dest="who",
        required=True,
        metavar="WHO",
        help="- for one of Google's tokens on standard input, robot+NAME, a user's name, or anonymous",
    )
    explaining.add_argument("repository", metavar="REPOSITORY")
    explaining.add_argument("action", metavar="ACTION", choices=["pull", "push", "delete"])
    helping = add(commands, "login-help", "print how clients log in to a host", _help, ())
    helping.add_argument("host", metavar="HOST", help="as clients write it before a repository")


def _explain(parsed: argparse.Namespace, settings: Settings) -> int:
    """Print the decision; return 0 for a yes and 1 for a no."""
    from lading.auth.access import Action
    from lading.registry.errors import RegistryError
    from lading.registry.names import check_repository

    if settings.access == "users" and not settings.is_given("users"):
        require_registry(settings)
    try:
        check_repository(parsed.repository)
        caller = _caller(parsed.who, settings)
        decision = caller.decide(Action(parsed.action), parsed.repository)
    except RegistryError as error:
        raise CommandError(f"not allowed: {error.descriptor.message} ({error.descriptor.code})") from None
    name = caller.principal or ("anonymous" if parsed.who == "anonymous" else "somebody whom the token does not name")
    print(f"{'allowed' if decision.allowed else 'not allowed'}: {name} {parsed.action} {parsed.repository}")
    print(f"  rule   {decision.rule}")
    for asked in decision.consulted:
        print(f"  asked  {asked}")
    return 0 if decision.allowed else 1


def _caller(who: str, settings: Settings) -> "Caller":
    from lading.auth.authenticator import UNRESTRICTED, AnonymousCaller, AuthenticatedCaller
    from lading.auth.credentials import is_jwt
    from lading.auth.robots import USER_PREFIX
    from lading.commands.robots import robots_of
    from lading.composition import open_authorizer, open_keys

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
    """Raise CommandError where no caller can log in by a name: no user, nor what Google calls a caller."""
    if name not in users and "@" not in name and not name.isdigit():
        raise CommandError(f"there is no user {name} in {settings.users}; `lading users set {name}` makes one")


def _help(parsed: argparse.Namespace, settings: Settings) -> None:
    again = f"docker push {parsed.host}/team/app:v1"
    print(HELP.format(host=parsed.host, again=again))
