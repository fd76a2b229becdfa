"""Chains of certificates: each rule of Notary Project, by a chain that breaks it alone."""

from collections.abc import Callable, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from lading.signatures.certificates import MAX_CHAIN, load_certificate, verify_chain
from lading.signatures.public_keys import KeyInvalid
from lading.signatures.signature import NotVerified
from lading.signatures.verify import verify
from tests.signatures.authorities import (
    CHAIN,
    INTERMEDIATE,
    ROOT,
    SIGNER,
    Profile,
    authority,
    certificate,
    chain_of,
    cose,
    ec_key,
    jws,
    rsa_key,
    trusting,
)
from tests.signatures.golden_inputs import DIGEST, FOLDER, NOW

OID = ExtendedKeyUsageOID


def ders(chain: Sequence[x509.Certificate]) -> list[bytes]:
    return [each.public_bytes(Encoding.DER) for each in chain]


def why(chain: Sequence[x509.Certificate], *anchors: x509.Certificate) -> str:
    """The reason for which a chain does not hold, by default with its last certificate as the anchor."""
    with pytest.raises(NotVerified) as raised:
        verify_chain(ders(chain), trusting(*(anchors or chain[-1:])).certificates, NOW)
    return str(raised.value)


def test_a_chain_that_breaks_no_rule_holds() -> None:
    """Otherwise, the tests below would show nothing."""
    for profiles in (
        (SIGNER, ROOT),
        (SIGNER, INTERMEDIATE, ROOT),
        (SIGNER.but(constraints=None), ROOT),
        (SIGNER.but(usage=("digital_signature", "content_commitment")), ROOT),
        (SIGNER.but(extended=(OID.CODE_SIGNING, x509.ObjectIdentifier("1.2.3.4"))), ROOT),
        (SIGNER, authority("i", constraints=(True, 0)), authority("r", constraints=(True, 1))),
        (SIGNER.but(algorithm=hashes.SHA384, key=rsa_key(2048)), authority("rsa", key=rsa_key(3072))),
    ):
        chain = chain_of(*profiles)
        assert verify_chain(ders(chain), trusting(chain[-1]).certificates, NOW).signer == chain[0]


AUTHORITIES: dict[str, tuple[Profile, str]] = {
    "no authority": (authority("i", constraints=(False, None)), "'CN=i' is no certificate authority"),
    "no constraints": (authority("i", constraints=None), "'CN=i' is no certificate authority"),
    "not critical": (authority("i", critical=False), "'CN=i' is no certificate authority"),
    "may not sign certificates": (authority("i", usage=("digital_signature",)), "may not sign certificates"),
    "no usage": (authority("i", usage=None), "the key of 'CN=i' may not sign certificates"),
    "expired": (authority("i", days=(-10, -1)), "the certificate of 'CN=i' has expired"),
    "not valid yet": (authority("i", days=(1, 10)), "the certificate of 'CN=i' has expired, or is not valid yet"),
    "short key": (authority("i", key=rsa_key(1024)), "the key of 'CN=i' is neither RSA of 2048 bits"),
    "other curve": (authority("i", key=ec_key("i", ec.SECP256K1)), "the key of 'CN=i' is neither RSA of 2048 bits"),
    "weak curve": (authority("i", key=ec_key("i", ec.SECP224R1)), "the key of 'CN=i' is neither RSA of 2048 bits"),
    "weak hash": (authority("i", algorithm=hashes.SHA224), "the certificate of 'CN=i' is not signed with SHA-256"),
    "signer as authority": (SIGNER.but(name="i"), "'CN=i' is no certificate authority"),
}


@pytest.mark.parametrize(("profile", "reason"), AUTHORITIES.values(), ids=AUTHORITIES.keys())
def test_who_issues_is_an_authority(profile: Profile, reason: str) -> None:
    between = chain_of(SIGNER, profile, ROOT)
    assert reason in why(between)
    assert reason in why(between, between[1]), "to be an anchor gives no other rights"
    assert reason in why(chain_of(SIGNER, profile))


SIGNERS: dict[str, tuple[Profile, str]] = {
    "authority": (SIGNER.but(constraints=(True, None)), "the signer's certificate is that of an authority"),
    "no usage": (SIGNER.but(usage=None), "is not for digital signatures alone"),
    "usage not critical": (SIGNER.but(critical=False), "is not for digital signatures alone"),
    "no digital signature": (SIGNER.but(usage=("content_commitment",)), "is not for digital signatures alone"),
    **{
        use: (SIGNER.but(usage=("digital_signature", use)), "is not for digital signatures alone")
        for use in ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    },
    "no extended usage": (SIGNER.but(extended=None), "the signer's certificate is not for signing code"),
    "of a server": (SIGNER.but(extended=(OID.SERVER_AUTH,)), "the signer's certificate is not for signing code"),
    **{
        f"code signing and {use.dotted_string}": (SIGNER.but(extended=(OID.CODE_SIGNING, use)), "other uses")
        for use in (
            OID.ANY_EXTENDED_KEY_USAGE,
            OID.SERVER_AUTH,
            OID.CLIENT_AUTH,
            OID.EMAIL_PROTECTION,
            OID.TIME_STAMPING,
            OID.OCSP_SIGNING,
        )
    },
    "expired": (SIGNER.but(days=(-10, -1)), "the certificate of 'CN=signer' has expired"),
    "not valid yet": (SIGNER.but(days=(1, 10)), "the certificate of 'CN=signer' has expired, or is not valid yet"),
    "weak hash": (SIGNER.but(algorithm=hashes.SHA224), "the certificate of 'CN=signer' is not signed with SHA-256"),
    "short key": (SIGNER.but(key=rsa_key(1024)), "the key of 'CN=signer' is neither RSA of 2048 bits"),
    "ed25519": (SIGNER.but(key=ed25519.Ed25519PrivateKey.generate()), "the key of 'CN=signer' is neither RSA"),
}


@pytest.mark.parametrize(("profile", "reason"), SIGNERS.values(), ids=SIGNERS.keys())
def test_a_signer_has_a_certificate_for_signing_code_alone(profile: Profile, reason: str) -> None:
    for profiles in ((profile, ROOT), (profile, INTERMEDIATE, ROOT)):
        chain = chain_of(*profiles)
        assert reason in why(chain)
        assert reason in why(chain, chain[0]), "to be an anchor gives no other rights"


def test_a_key_of_a_size_that_has_no_algorithm_signs_nothing() -> None:
    chain = chain_of(SIGNER.but(key=rsa_key(2560)), ROOT)

    for envelope in (jws, cose):
        candidate = envelope(chain, rsa_key(2560), alg="PS256")
        assert "its algorithm is not" in verify(candidate, trusting(chain[-1]), DIGEST, NOW).reasons[0]


@pytest.mark.parametrize("hash", ["sha1", "md5"])
def test_a_certificate_signed_with_a_broken_hash_does_not_count(hash: str) -> None:
    root, good, bad = (
        x509.load_pem_x509_certificate((FOLDER / "weak" / f"{name}.pem").read_bytes())
        for name in ("root", "sha256", hash)
    )
    assert verify_chain(ders((good, root)), trusting(root).certificates, NOW).signer == good

    assert "is not" in (reason := why((bad, root)))
    assert "signed with SHA-256" in reason or "issued by the next one" in reason
    key = load_pem_private_key((FOLDER / "weak" / "leaf.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert verify(jws((good, root), key), trusting(root), DIGEST, NOW).signatures
    assert verify(jws((bad, root), key), trusting(root), DIGEST, NOW).reasons == (reason,)


def _forged() -> tuple[x509.Certificate, ...]:
    """The true root under an authority that has only the name of the true one."""
    forged = chain_of(SIGNER, INTERMEDIATE.but(key=ec_key("forger")), ROOT.but(key=ec_key("forger")))
    return (*forged[:2], CHAIN[2])


SIGNER_CERTIFICATE, INTERMEDIATE_CERTIFICATE, ROOT_CERTIFICATE = CHAIN

ORDERS: dict[str, Callable[[], Sequence[x509.Certificate]]] = {
    "an authority is missing": lambda: (SIGNER_CERTIFICATE, ROOT_CERTIFICATE),
    "two are exchanged": lambda: (INTERMEDIATE_CERTIFICATE, SIGNER_CERTIFICATE, ROOT_CERTIFICATE),
    "one is there twice": lambda: (
        SIGNER_CERTIFICATE,
        INTERMEDIATE_CERTIFICATE,
        INTERMEDIATE_CERTIFICATE,
        ROOT_CERTIFICATE,
    ),
    "the root is first": lambda: CHAIN[::-1],
    "another root follows": lambda: (*CHAIN, *chain_of(authority("another"))),
    "an authority has only the name": _forged,
    "another root between": lambda: (SIGNER_CERTIFICATE, *chain_of(authority("another")), ROOT_CERTIFICATE),
}


@pytest.mark.parametrize("chain", ORDERS.values(), ids=ORDERS.keys())
def test_each_certificate_is_issued_by_the_next(chain: Callable[[], Sequence[x509.Certificate]]) -> None:
    assert "is not issued by the next one" in why(chain(), *CHAIN)


def test_a_chain_ends_with_a_root() -> None:
    """Even where the policy trusts the authority that is last."""
    assert "is not issued by the next one" in why(CHAIN[:2], INTERMEDIATE_CERTIFICATE)


def test_a_chain_is_no_longer_than_its_authorities_allow() -> None:
    second = authority("second")
    for root in (authority("root", constraints=(True, 0)), authority("root", constraints=(True, 1))):
        chain = chain_of(SIGNER, INTERMEDIATE, second, root)
        assert why(chain) == "the chain below 'CN=root' is longer than it allows"
    allowed = chain_of(SIGNER, INTERMEDIATE, second, authority("root", constraints=(True, 2)))
    assert verify_chain(ders(allowed), trusting(allowed[-1]).certificates, NOW)


def test_an_anchor_is_the_certificate_and_not_its_name_or_key() -> None:
    again = certificate(ROOT.but(days=(-11, 11)), ROOT)

    assert why(CHAIN, again) == "no trust anchor of a policy is in its chain of certificates"


def test_no_key_of_an_untrusted_certificate_is_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain without an anchor costs its digests only; one with a forged end, one verification."""
    computed: list[x509.Certificate] = []
    monkeypatch.setattr(
        "lading.signatures.certificates._check_issuer", lambda certificate, issuer: computed.append(certificate)
    )

    assert "no trust anchor" in why(CHAIN, *chain_of(authority("another")))
    assert computed == []


def test_chains_are_limited_before_they_are_read() -> None:
    long = chain_of(SIGNER, *(authority(f"a{number}") for number in range(MAX_CHAIN)))
    limit = "it has no chain of at most 8 certificates of 16 KiB"

    assert why(long) == limit
    anchors = trusting(*CHAIN).certificates
    for chain in ([], [b"x" * (16 * 1024 + 1), ders(CHAIN)[-1]]):
        with pytest.raises(NotVerified, match=limit):
            verify_chain(chain, anchors, NOW)
    for garbage in (b"", b"x", ders(CHAIN)[0][:-1], ders(CHAIN)[0] + b"\0"):
        with pytest.raises(NotVerified, match="a certificate of its chain is malformed"):
            verify_chain([garbage, *ders(CHAIN)[1:]], anchors, NOW)


def test_a_certificate_of_the_configuration_is_one_and_strong() -> None:
    pem = ROOT_CERTIFICATE.public_bytes(Encoding.PEM)
    assert load_certificate(pem) == ROOT_CERTIFICATE

    weak = certificate(authority("i", key=rsa_key(1024)), ROOT).public_bytes(Encoding.PEM)
    for content, reason in (
        (b"", "it is not a certificate as PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "it is not a certificate as PEM"),
        (ders(CHAIN)[0], "it is not a certificate as PEM"),
        ((FOLDER / "other.pub").read_bytes(), "it is not a certificate as PEM"),
        (pem + pem, "it has 2 certificates, not one"),
        ((FOLDER / "weak" / "sha1.pem").read_bytes(), "is not signed with SHA-256"),
        (weak, "neither RSA of 2048 bits nor of a curve of NIST"),
    ):
        with pytest.raises(KeyInvalid, match=reason):
            load_certificate(content)
