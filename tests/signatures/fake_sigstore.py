"""A Sigstore of the tests: an authority for identities, a log of certificates and a log of signatures, all in memory.

It writes what Fulcio, a CT log, Rekor 1 and cosign write, byte for byte where something is signed: RFC 6962,
https://github.com/transparency-dev/formats/tree/main/log, https://github.com/sigstore/rekor, types dsse 0.0.1.
"""

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lading.signatures.cosign_bundle import PREDICATE
from lading.signatures.dsse import PAYLOAD_TYPE, pre_authentication
from lading.signatures.keyless import FIRST_ISSUER, ISSUER
from lading.signatures.signature import BUNDLE, Candidate
from tests.signatures.authorities import ec_key
from tests.signatures.golden_inputs import DIGEST

SIGNED_AT: Final = datetime.fromisoformat("2026-11-30T12:00:00+00:00")
SCTS: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")

SUBJECT: Final = "https://github.com/example/app/.github/workflows/release.yml@refs/heads/main"
TOKEN_ISSUER: Final = "https://token.actions.githubusercontent.com"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, kw_only=True)
class FakeSigstore:
    """An instance, with keys of its own.

    Attributes:
        name: of which each key is another's.
        log_key, ct_key: which sign for the logs, by default those that the trusted root has.
    """

    name: str = "sigstore"
    log_key: ec.EllipticCurvePrivateKey | None = None
    ct_key: ec.EllipticCurvePrivateKey | None = None

    def key(self, use: str) -> ec.EllipticCurvePrivateKey:
        return ec_key(f"{self.name} {use}")

    @cached_property
    def authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio")])
        key = self.key("authority")
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        return (
            x509.CertificateBuilder(subject_name=name, issuer_name=name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(SIGNED_AT - timedelta(days=100))
            .not_valid_after(SIGNED_AT + timedelta(days=100))
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(
                x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )

    @property
    def trusted_root(self) -> bytes:
        """The trusted root, as Sigstore distributes it."""
        valid = {"start": "2020-01-01T00:00:00Z"}

        def log(use: str) -> dict[str, Any]:
            public = spki(self.key(use))
            key = {"rawBytes": b64(public), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            return {
                "baseUrl": f"https://{use}.example.com",
                "hashAlgorithm": "SHA2_256",
                "publicKey": key,
                "logId": {"keyId": b64(sha256(public).digest())},
            }

        chain = {"certificates": [{"rawBytes": b64(self.authority.public_bytes(Encoding.DER))}]}
        fulcio = {"subject": {"organization": "x", "commonName": "fulcio"}, "uri": "https://fulcio.example.com"}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log("rekor")],
                "certificateAuthorities": [{**fulcio, "certChain": chain, "validFor": valid}],
                "ctlogs": [log("ctlog")],
                "timestampAuthorities": [],
            }
        ).encode()

    def certificate(
        self,
        names: Sequence[x509.GeneralName] = (x509.UniformResourceIdentifier(SUBJECT),),
        issuer: str | None = TOKEN_ISSUER,
        *,
        old_issuer: bool = False,
        use: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        sct: bool = True,
    ) -> x509.Certificate:
        """A certificate for ten minutes, as Fulcio issues it for an ID token."""
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"), False
        )
        authority = self.key("authority")
        builder = (
            x509.CertificateBuilder(subject_name=x509.Name([]), issuer_name=self.authority.subject)
            .public_key(self.key("signer").public_key())
            .serial_number(2)
            .not_valid_before(SIGNED_AT)
            .not_valid_after(SIGNED_AT + timedelta(minutes=10))
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, **usage, crl_sign=False, encipher_only=False, decipher_only=False
                ),
                critical=True,
            )
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if issuer is not None:
            oid, value = (FIRST_ISSUER, issuer.encode()) if old_issuer else (ISSUER, asn1.encode_der(issuer))
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        if sct:
            # What the log signs is the certificate without the extension that then holds the log's signature.
            logged = builder.sign(authority, hashes.SHA256()).tbs_certificate_bytes
            scts = x509.UnrecognizedExtension(SCTS, asn1.encode_der(self._scts(logged)))
            builder = builder.add_extension(scts, critical=False)
        return builder.sign(authority, hashes.SHA256())

    def _scts(self, logged: bytes) -> bytes:
        """A list of one signed certificate timestamp: RFC 6962, section 3.2."""
        milliseconds = int(SIGNED_AT.timestamp() * 1000)
        issuer = sha256(spki(self.key("authority"))).digest()
        entry = issuer + len(logged).to_bytes(3, "big") + logged
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0"
        signature = sign(self.ct_key or self.key("ctlog"), signed)
        log_id = sha256(spki(self.key("ctlog"))).digest()
        sct = struct.pack("!B32sQHBBH", 0, log_id, milliseconds, 0, 4, 3, len(signature)) + signature
        return struct.pack("!HH", len(sct) + 2, len(sct)) + sct

    def bundle(
        self,
        certificate: x509.Certificate | None = None,
        *,
        digest: str = DIGEST,
        predicate_type: str = PREDICATE,
        payload_type: str = PAYLOAD_TYPE,
        logged_at: datetime = SIGNED_AT + timedelta(seconds=5),
        change: Callable[[dict[str, Any]], object] = lambda _: None,
    ) -> Candidate:
        """A bundle as cosign 3 writes it; `change` is called with it at the end."""
        certificate = certificate or self.certificate()
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
            "predicateType": predicate_type,
            "predicate": {},
        }
        payload = json.dumps(statement).encode()
        signature = sign(self.key("signer"), pre_authentication(payload_type, payload))
        envelope = {"payload": b64(payload), "payloadType": payload_type, "signatures": [{"sig": b64(signature)}]}
        written: dict[str, Any] = {
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._entry(certificate, payload, signature, logged_at)],
            },
            "dsseEnvelope": envelope,
        }
        change(written)
        return Candidate(media_type=BUNDLE, content=json.dumps(written).encode())

    def _entry(
        self, certificate: x509.Certificate, payload: bytes, signature: bytes, logged_at: datetime
    ) -> Mapping[str, Any]:
        """The log's second entry of two, with its proof of inclusion, checkpoint and promise."""
        verifier = b64(certificate.public_bytes(Encoding.PEM))
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
            "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hexdigest()},
            "signatures": [{"signature": b64(signature), "verifier": verifier}],
        }
        body = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}, separators=(",", ":")).encode()
        key, log_id = self.log_key or self.key("rekor"), sha256(spki(self.key("rekor"))).digest()
        first, second = sha256(b"\0first").digest(), sha256(b"\0" + body).digest()
        root = sha256(b"\1" + first + second).digest()
        note = f"rekor.example.com - 1\n2\n{b64(root)}\n"
        checkpoint = f"{note}\n\N{EM DASH} rekor.example.com {b64(log_id[:4] + sign(key, note.encode()))}\n"
        seconds = int(logged_at.timestamp())
        promised = {"body": b64(body), "integratedTime": seconds, "logID": log_id.hex(), "logIndex": 1}
        promise = sign(key, json.dumps(promised, separators=(",", ":"), sort_keys=True).encode())
        return {
            "logIndex": "1",
            "logId": {"keyId": b64(log_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": b64(root),
                "treeSize": "2",
                "hashes": [b64(first)],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": b64(body),
        }
