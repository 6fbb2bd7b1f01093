"""Client certificates before they are bound: that our authority issued one, and that whoever has its key wants it bound."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from domain.refusals import Kind, Refusal, Refused, Violation, invalid

# A certificate with its chain is some kilobytes.
PEM_LENGTH_MAX = 65_536
CHAIN_MAX = 5


class Presented(NamedTuple):
    """What is bound of a certificate, and what tells people which it is."""

    kind: str
    value: str
    fingerprint: str
    subject: str
    not_after_ms: int


def statement(tenant_id: str, principal_id: str, fingerprint: str) -> bytes:
    """Return what the key of a certificate signs to have it bound."""
    return f"paydesk bind-certificate {tenant_id} {principal_id} {fingerprint}".encode()


def present(pem: str, *, name: str, proof: bytes, authority: Path | None, tenant_id: str, principal_id: str, now_ms: int) -> Presented:
    """Read a certificate that is to speak for a principal. Raise Refused unless it is fit to.

    Certificates are no secret, and anybody can make one with any name in it. So neither somebody else's certificate nor a
    home-made one takes a name away from whom it belongs to.
    """
    if authority is None:
        raise Refused(Refusal(
            Kind.FORBIDDEN_BY_STATE, "NO_CLIENT_AUTHORITY", "client certificates are not asked for: PAYDESK_TLS_CLIENT_CA_FILE is not set"
        ))  # fmt: skip
    leaf, *between = _read(pem)
    names = _names_of(leaf)
    fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
    not_after_ms = round(leaf.not_valid_after_utc.timestamp() * 1000)
    violations = []
    if not_after_ms <= now_ms:
        violations.append(Violation("certificate_pem", "has expired"))
    if not _is_issued(leaf, between, x509.load_pem_x509_certificates(authority.read_bytes())):
        violations.append(Violation("certificate_pem", "is not issued by the authority of clients"))
    if name and name not in names:
        violations.append(Violation("subject_alternative_name", "is not in the certificate"))
    if not _is_signed(leaf, proof, statement(tenant_id, principal_id, fingerprint)):
        violations.append(Violation("proof", "is not the certificate's signature; `paydesk identity prove` makes it"))
    if violations:
        raise Refused(invalid(*violations))
    kind, value = ("SAN", name) if name else ("FINGERPRINT", fingerprint)
    return Presented(kind, value, fingerprint, leaf.subject.rfc4514_string(), not_after_ms)


def _read(pem: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem.encode()) if len(pem) <= PEM_LENGTH_MAX else []
    except ValueError:
        found = []
    if not 0 < len(found) <= CHAIN_MAX:
        raise Refused(invalid(Violation("certificate_pem", f"is no certificate in PEM, with at most {CHAIN_MAX - 1} behind it")))
    return found


def _names_of(certificate: x509.Certificate) -> list[str]:
    """Return the subject alternative names of a certificate: DNS names, URIs and mail addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension) as error:
        raise Refused(invalid(Violation("certificate_pem", "is no certificate in PEM"))) from error
    kinds = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name)
    return [str(name.value) for name in names if isinstance(name, kinds)]


def _is_issued(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> bool:
    """Tell whether a chain leads from a certificate to an authority; what else it must keep to, each handshake checks."""
    for place, issuer in enumerate((*between, None)):
        if any(_issued(certificate, authority) for authority in authorities):
            return True
        if issuer is None or not _is_authority(issuer) or not _issued(certificate, issuer):
            return False
        certificate = between[place]
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False


def _is_signed(certificate: x509.Certificate, signature: bytes, signed: bytes) -> bool:
    try:
        match certificate.public_key():
            case rsa.RSAPublicKey() as key:
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePublicKey() as curve_key:
                curve_key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey() as edwards_key:
                edwards_key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, ValueError):  # ValueError: a key of a sort that is not supported
        return False
    return True


def prove(pem: str, key_pem: bytes, *, tenant_id: str, principal_id: str) -> bytes:
    """Sign with the key of a certificate that it is to speak for a principal.

    Raise Refused for what is no certificate, and TypeError or ValueError for what is no key of it.
    """
    certificate, private_key = _read(pem)[0], load_pem_private_key(key_pem, None)
    if private_key.public_key() != certificate.public_key():
        raise ValueError("the key is not the certificate's")
    signed = statement(tenant_id, principal_id, certificate.fingerprint(hashes.SHA256()).hex())
    match private_key:
        case rsa.RSAPrivateKey() as key:
            return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey() as curve_key:
            return curve_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey() as edwards_key:
            return edwards_key.sign(signed)
        case _:
            raise ValueError("the key must be RSA, elliptic curve or Ed25519")
