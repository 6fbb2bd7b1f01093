"""Keys and certificates for tests; one key serves all, because making one takes a moment."""

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem() -> str:
    """Return a private key in PEM."""
    framing = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return _key().private_bytes(*framing).decode()


def public_pem() -> str:
    """Return its public half in PEM."""
    framing = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return _key().public_key().public_bytes(*framing).decode()


def certificate_pem(not_after_ms: int, *, name: str = "localhost") -> str:
    """Return a certificate that ends at a moment."""
    end = datetime.datetime.fromtimestamp(not_after_ms // 1000, datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(
        subject, subject, _key().public_key(), x509.random_serial_number(), end - datetime.timedelta(days=400), end
    )
    return made.sign(_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
