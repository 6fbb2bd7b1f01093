"""Keys and certificates for a world where nobody is who he says: valid in every way but the name of the authority."""

import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

VALID_YEARS = 10
_BEGIN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

AnyKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Identity(NamedTuple):
    """A key with its certificate."""

    key: AnyKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> str:
        """The private key, PKCS#8."""
        return private_pem(self.key)

    @property
    def certificate_pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def rsa_key() -> rsa.RSAPrivateKey:
    """Make a key of 2048 bits."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def private_pem(key: AnyKey) -> str:
    """Write a private key, PKCS#8."""
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, secret).decode()


def public_pem(key: AnyKey) -> str:
    """Write the public half of a key, SubjectPublicKeyInfo."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def load_key(pem: str) -> rsa.RSAPrivateKey:
    """Read back a private key of ours."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey), "the wires sign with RSA"
    return key


def authority(name: str, *, organisation: str, key: AnyKey | None = None) -> Identity:
    """Make a root that signs itself."""
    key = key or rsa_key()
    subject = _name(name, organisation)
    return Identity(key, _build(subject, subject, key, key, days=VALID_YEARS * 365, is_authority=True))


def issued(
    name: str, *, organisation: str, by: Identity, days: int = VALID_YEARS * 365, serial_number: int = 0,
    is_authority: bool = False,
) -> Identity:  # fmt: skip
    """Make a key and a certificate that an authority vouches for, valid since 2024 for so many days."""
    key = rsa_key()
    subject, issuer = _name(name, organisation), by.certificate.subject
    made = _build(
        subject, issuer, key, by.key, days=days, is_authority=is_authority, serial_number=serial_number,
        issuer_key=by.certificate.public_key(),
    )  # fmt: skip
    return Identity(key, made)


def _name(name: str, organisation: str) -> x509.Name:
    # Strangers' clients write a certificate's issuer down with all four, whether they are there or not.
    pairs = (
        (NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Sandbox"), (NameOID.COMMON_NAME, name),
    )  # fmt: skip
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def _build(
    subject: x509.Name, issuer: x509.Name, key: AnyKey, signing_key: AnyKey, *, days: int, is_authority: bool,
    serial_number: int = 0, issuer_key: object = None,
) -> x509.Certificate:  # fmt: skip
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_BEGIN + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key or public),  # type: ignore[arg-type]
            critical=False,
        )
    )
    return builder.sign(signing_key, hashes.SHA256())
