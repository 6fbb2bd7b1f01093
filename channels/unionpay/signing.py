"""How UnionPay proves who speaks: RSA with SHA-256 over the hexadecimal SHA-256 of the sorted fields.

Whoever answers sends its certificate along (signPubKeyCert). It is believed when a configured middle certificate issued
it, a configured root issued that one, all three are valid now, and its common name is UnionPay's own.
"""

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from channels import rsa
from channels.rsa import UNREADABLE

# Two kilobytes are usual; more is no certificate that UnionPay sends.
CERTIFICATE_CHARS_MAX = 8_192
# UnionPay signs with one certificate at a time; only such as are believed are remembered.
REMEMBERED_MAX = 32

Fields = Mapping[str, str]


def signed_bytes(fields: Fields) -> bytes:
    """Return what is signed: the digest of all fields that have a value, sorted by name."""
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature" and fields[name])
    return hashlib.sha256(text.encode()).hexdigest().encode()


def sign(fields: Fields, key: RSAPrivateKey) -> str:
    """Return the signature of fields."""
    return base64.b64encode(rsa.sign(key, signed_bytes(fields))).decode()


def encrypt(text: str, key: RSAPublicKey) -> str:
    """Encrypt what is told of a card, for UnionPay alone. Raise ValueError for a text that is too long."""
    return base64.b64encode(key.encrypt(text.encode(), padding.PKCS1v15())).decode()


class _Believed(NamedTuple):
    """The key of a certificate whose issuers are known, and the time in which all of them are valid."""

    key: RSAPublicKey
    not_before_ms: int
    not_after_ms: int


class Trust:
    """Whom one merchant number believes. Safe to use from several threads."""

    def __init__(
        self, *, roots: Sequence[x509.Certificate], middles: Sequence[x509.Certificate], names: Iterable[str]
    ) -> None:
        self._names = frozenset(names)
        # Which middle certificate comes from which root is settled here, once.
        self._issuers = [
            (middle, root) for middle in _each_once(middles) for root in _each_once(roots) if _issued(middle, root)
        ]
        self._believed: OrderedDict[bytes, _Believed] = OrderedDict()

    def verify(self, fields: Fields, *, now_ms: int) -> bool:
        """Tell whether fields were signed by somebody who is believed now."""
        text, signature = fields.get("signPubKeyCert", ""), fields.get("signature", "")
        if not text or not signature or fields.get("signMethod", "01") != "01":
            return False
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        key = self._key_of(text, now_ms)
        return key is not None and rsa.verify(key, signed_bytes(fields), raw)

    def _key_of(self, text: str, now_ms: int) -> RSAPublicKey | None:
        place = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        believed = self._believed.get(place)
        if believed is None:
            believed = self._read(text)
            if believed is None:
                return None
            self._believed[place] = believed
            if len(self._believed) > REMEMBERED_MAX:
                self._believed.popitem(last=False)
        return believed.key if believed.not_before_ms <= now_ms <= believed.not_after_ms else None

    def _read(self, text: str) -> _Believed | None:
        if len(text) > CERTIFICATE_CHARS_MAX:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
            key = certificate.public_key()
            named = any(_owner(str(name.value)) in self._names for name in _common_names(certificate))
            serves = isinstance(key, RSAPublicKey) and certificate.serial_number > 0
        except UNREADABLE:
            return None
        if not serves or not named:
            return None
        assert isinstance(key, RSAPublicKey), "another key serves nobody"
        for middle, root in self._issuers:
            if _issued(certificate, middle):
                chain = (certificate, middle, root)
                return _Believed(
                    key,
                    max(_ms(each.not_valid_before_utc.timestamp()) for each in chain),
                    min(_ms(each.not_valid_after_utc.timestamp()) for each in chain),
                )
        return None


def _owner(common_name: str) -> str:
    """Return whom a common name such as `041@8310000000083040@中国银联股份有限公司@00016495` names."""
    parts = common_name.split("@")
    return parts[2] if len(parts) > 2 else ""


def _common_names(certificate: x509.Certificate) -> list[x509.NameAttribute[str | bytes]]:
    return certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the issuer, which must be one that may issue, has signed a certificate."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        may_issue = constraints.ca
    except x509.ExtensionNotFound:
        may_issue = True  # old roots have none
    except UNREADABLE:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return may_issue


def _each_once(certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    return list({certificate.fingerprint(hashes.SHA256()): certificate for certificate in certificates}.values())


def _ms(seconds: float) -> int:
    return int(seconds * 1_000)
