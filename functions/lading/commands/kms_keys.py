"""Public keys in Google's KMS, which a file of policies may name: fetched once, by the credentials of who applies it.

    file = "gcpkms://projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/1"

https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions/getPublicKey
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from lading.policies.field_kinds import PolicyError
from lading.policies.policy_file import KMS
from lading.setting_values import KEY_VERSION

URL: Final = "https://cloudkms.googleapis.com/v1"

KEY: Final = re.compile(r"(projects/[^?#]+/cryptoKeys/[^/]+)(?:/(?:cryptoKeyVersions|versions)/([0-9]+))?", re.ASCII)
"""A key as cosign names it, whose version may be the newest."""

SIGNS: Final = "_SIGN_"
"""In the algorithm of a key that signs; others decrypt, or make MACs."""

INSTALL: Final = "keys of KMS need the extra cloud: pip install 'lading-registry[cloud]', or name the PEM in a file"


def public_key(uri: str) -> str:
    """Return the public key of a version as PEM. Raises PolicyError."""
    found = KEY.fullmatch(uri.removeprefix(KMS))
    if found is None:
        raise PolicyError(f"{uri} is no key of KMS")
    if found[2] is None:
        raise PolicyError(f"{uri} has several versions: name one, as in {uri}/cryptoKeyVersions/1")
    name = f"{found[1]}/cryptoKeyVersions/{found[2]}"
    if not KEY_VERSION.fullmatch(name):
        raise PolicyError(f"{uri} is no key of KMS")
    try:
        return _checked(_fetched(name), name)
    except ImportError:
        raise PolicyError(INSTALL) from None


def _fetched(name: str) -> Mapping[str, Any]:
    from lading.attester.google_api import GoogleApi, GoogleError

    permissions = f"cloudkms.cryptoKeyVersions.viewPublicKey on {name.rpartition('/cryptoKeyVersions/')[0]}"
    try:
        return GoogleApi().request("GET", f"{URL}/{name}/publicKey", permissions)
    except GoogleError as error:
        raise PolicyError(f"{KMS}{name} cannot be read: {error}") from None


def _checked(found: Mapping[str, Any], name: str) -> str:
    """Return the key in a response. Raises PolicyError unless it is whole, of this version, and signs."""
    import google_crc32c

    pem, algorithm = found.get("pem"), str(found.get("algorithm", ""))
    is_whole = isinstance(pem, str) and str(google_crc32c.value(pem.encode())) == found.get("pemCrc32c")
    if not isinstance(pem, str) or not is_whole or found.get("name") != name:
        raise PolicyError(f"{KMS}{name} was not received as it was sent; try again")
    if SIGNS not in algorithm:
        raise PolicyError(f"{KMS}{name} signs nothing: its algorithm is {algorithm[:60]!a}")
    return pem
