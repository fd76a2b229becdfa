"""Signatures by identities: bundles with a certificate of Sigstore, which its library verifies, without a network.

What `sigstore` verifies, with the authorities and the keys of logs of the trusted root: that one of them issued the
certificate, which was valid at the time that the log or a time stamp authority vouches for; its SCT, so that a log of
certificates has it; that the entry of the log is about this envelope and certificate; its proof of inclusion with a
signed checkpoint, and its inclusion promise, if it has one; and the signature of the envelope. Which identities count
decides the policy, by the one subject and the issuer in the certificate.
"""

from functools import lru_cache
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat import asn1

from lading.signatures.dsse import PAYLOAD_TYPE
from lading.signatures.public_keys import KeyInvalid
from lading.signatures.signature import NotVerified, Signature, TrustedRoot

if TYPE_CHECKING:
    from sigstore.verify import Verifier

ISSUER: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
FIRST_ISSUER: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
"""Extensions with the issuer of the ID token: as DER, and, of certificates before 2023, as text.
https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md"""

PUBLIC: Final = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
"""Folder of the package with the trusted root of Sigstore's public instance."""

MAX_ROOT: Final = 1024 * 1024
MAX_IDENTITY: Final = 1_000
"""Bytes of a trusted root, and characters of an identity and of an issuer."""

INSTALL: Final = "identities need the extra sigstore: pip install 'lading-registry[sigstore]'"


class _Any:
    """Policy of `sigstore` for which each certificate counts: what the certificate says is compared by evaluation."""

    def verify(self, cert: x509.Certificate) -> None:
        """Accept a certificate, after its chain was verified."""


def load_trusted_root(content: bytes | None) -> TrustedRoot:
    """Return a trusted root.

    Args:
        content: JSON of a file of the configuration; None for Sigstore's public instance, as the package has it. It is
            as old as the package: a root that was renewed since takes a newer one, or a file.

    Raises:
        KeyInvalid: it is none, or the package is not installed.
    """
    try:
        if content is None:
            return TrustedRoot(fingerprint=f"sigstore:public@{metadata.version('sigstore')}")
        if len(content) > MAX_ROOT:
            raise KeyInvalid(f"the trusted root has more than {MAX_ROOT >> 20} MiB")
        root = TrustedRoot(fingerprint=f"sigstore:{sha256(content).hexdigest()}", content=content)
        _verifier(root)
    except (metadata.PackageNotFoundError, ModuleNotFoundError):
        raise KeyInvalid(INSTALL) from None
    except KeyInvalid:
        raise
    except Exception:
        raise KeyInvalid("it is no trusted root of Sigstore") from None
    return root


def verify(content: bytes, root: TrustedRoot) -> tuple[Signature, bytes]:
    """Return the signature that a bundle with a certificate is, and the payload of its envelope.

    Raises:
        NotVerified: it does not hold, or the package is not installed.
    """
    try:
        from sigstore.errors import Error
        from sigstore.models import Bundle
    except ModuleNotFoundError:
        raise NotVerified(INSTALL) from None
    try:
        bundle = Bundle.from_json(content)
        payload_type, payload = _verifier(root).verify_dsse(bundle, _Any())
    except Error as error:
        # Its messages quote the content: what is shown is printable, and one line.
        raise NotVerified(f"Sigstore does not verify it: {str(error)[:200]!a}") from None
    if payload_type != PAYLOAD_TYPE:
        raise NotVerified("its payload is not a statement of in-toto")
    identity, issuer = _identity(bundle.signing_certificate)
    return Signature(signer=root.fingerprint, format="cosign-bundle", identity=identity, issuer=issuer), payload


@lru_cache(maxsize=8)
def _verifier(root: TrustedRoot) -> "Verifier":
    """Return the verifier of a trusted root, which opens no connection."""
    from sigstore.models import TrustedRoot as SigstoreRoot
    from sigstore.verify import Verifier

    content = root.content
    if content is None:
        content = resources.files("sigstore._store").joinpath(PUBLIC, "trusted_root.json").read_bytes()
    with TemporaryDirectory() as folder:
        # Its public interface reads files only.
        file = Path(folder, "trusted_root.json")
        file.write_bytes(content)
        return Verifier(trusted_root=SigstoreRoot.from_file(str(file)))


def _identity(certificate: x509.Certificate) -> tuple[str, str]:
    """Return the subject and the issuer of a certificate's ID token. Raises NotVerified if it has not."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    match [*names]:
        case [x509.RFC822Name() | x509.UniformResourceIdentifier() as name]:
            identity, issuer = name.value, _issuer(certificate.extensions)
        case _:
            raise NotVerified("its certificate does not have one email address or URI as its subject")
    if not 0 < len(identity) <= MAX_IDENTITY or not 0 < len(issuer) <= MAX_IDENTITY:
        raise NotVerified(f"its certificate has an identity or issuer of more than {MAX_IDENTITY} characters")
    return identity, issuer


def _issuer(extensions: x509.Extensions) -> str:
    for oid in (ISSUER, FIRST_ISSUER):
        try:
            value = extensions.get_extension_for_oid(oid).value
        except x509.ExtensionNotFound:
            continue
        if isinstance(value, x509.UnrecognizedExtension):
            return asn1.decode_der(str, value.value) if oid == ISSUER else value.value.decode()
    raise NotVerified("its certificate names no issuer of the ID token")
