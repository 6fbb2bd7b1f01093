"""Certificates of a UnionPay that nobody should trust: root, middle, the platform's own two, and merchants'.

Made once per sandbox and kept with its other credentials; keys are 2048 bits, as the real ones.
"""

import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import NameOID

PLATFORM_NAME = "041@SIM@中国银联股份有限公司@00000001"
# A certificate is valid a day before it is made, for clocks that differ.
EARLY = datetime.timedelta(days=1)
AUTHORITY_TIME = datetime.timedelta(days=20 * 365)
MEMBER_TIME = datetime.timedelta(days=5 * 365)


class Identity(NamedTuple):
    """A private key and the certificate that belongs to it."""

    key: RSAPrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> str:
        """Return the private key in PEM."""
        encoded = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return encoded.decode()

    @property
    def certificate_pem(self) -> str:
        """Return the certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def serial(self) -> str:
        """Return the certificate's number as UnionPay writes it: in decimal."""
        return str(self.certificate.serial_number)

    @classmethod
    def of(cls, key_pem: str, certificate_pem: str) -> "Identity":
        """Read what was made before. Raise ValueError."""
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("not an RSA key")
        return cls(key, x509.load_pem_x509_certificate(certificate_pem.encode()))


class Platform(NamedTuple):
    """Everything that UnionPay itself holds."""

    root: Identity
    middle: Identity
    sign: Identity
    encrypt: Identity

    def merchant(self, merchant_no: str, now: datetime.datetime) -> Identity:
        """Make what a merchant signs with."""
        return issue(f"041@{merchant_no}@sandbox@1", now, self.middle)

    def renewed(self, now: datetime.datetime) -> "Platform":
        """Return the platform after a change of the certificate with which it signs."""
        return self._replace(sign=issue(PLATFORM_NAME, now, self.middle))


def make(now: datetime.datetime) -> Platform:
    """Make a platform."""
    root = issue("Sandbox Root CA", now, None)
    middle = issue("Sandbox OCA1", now, root, is_authority=True)
    return Platform(root, middle, issue(PLATFORM_NAME, now, middle), issue("041@SIM@encrypt@1", now, middle))


def issue(
    name: str,
    now: datetime.datetime,
    issuer: Identity | None,
    *,
    is_authority: bool = False,
    lifetime: datetime.timedelta = MEMBER_TIME,
) -> Identity:
    """Make a key and its certificate, signed by the issuer, or by itself where there is none."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = is_authority or issuer is None
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> 96)
        .not_valid_before(now - EARLY)
        .not_valid_after(now + (AUTHORITY_TIME if authority else lifetime))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return Identity(key, built.sign(issuer.key if issuer else key, hashes.SHA256()))
