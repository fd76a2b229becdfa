"""Messages between a registry and a scanner that has no stores, as json_values writes and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lading.registry.content.manifest_contents import Descriptor
from lading.registry.scans.claim import Claim, ScanResult

MAX_RESULT: Final = 24 * 1024 * 1024
"""Bytes of a ResultMessage: documents, and the packages of layers. Google limits a request to 32 MiB."""

MAX_CLAIMS: Final = 10
"""Claims of a TokenRequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A request for an image to scan.

    Attributes:
        extractor: the version of the scanner's extractors.
    """

    extractor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResponse:
    """One claim, or None if no image is due. Its packages can be 16 MiB, so there is never a second one."""

    claim: Claim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldClaim:
    """What proves that a scanner holds a claim."""

    repository: str
    digest: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultMessage:
    """The result of a claim."""

    claim: HeldClaim
    result: ScanResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A request for a token for the repositories of some claims, and of the vulnerability data."""

    claims: Sequence[HeldClaim] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A token; "" where the registry needs none.

    Attributes:
        token: to be sent after `Bearer`.
        expires_in: its lifetime in seconds.
    """

    token: str
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecosystem:
    """An ecosystem whose data images need.

    Attributes:
        id: its name, such as "Debian".
        etag: the version of the source that was used, or "".
        checked: when the source was last asked, or None.
        error: why that failed, or "".
        digest: of the artifact with the data, or "" while there is none.
        layer: the blob with the data, or None.
    """

    id: str
    etag: str = ""
    checked: datetime | None = None
    error: str = ""
    digest: str = ""
    layer: Descriptor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataResponse:
    """The vulnerability data of a registry.

    Attributes:
        repository: where the data is.
        ecosystems: all that images need.
    """

    repository: str
    ecosystems: Sequence[Ecosystem] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedMessage:
    """The source of an ecosystem was asked, and has nothing newer; or that failed, for a reason."""

    ecosystem: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMessage:
    """New data of an ecosystem was uploaded.

    Attributes:
        ecosystem: its name.
        layer: the blob, which the repository of the data has.
        etag: the version of the source, or "".
    """

    ecosystem: str
    layer: Descriptor
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message was accepted.

    Attributes:
        digest: of the artifact that was made of it, or "".
    """

    digest: str = ""
