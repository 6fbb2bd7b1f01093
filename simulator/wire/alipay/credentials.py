"""The keys of an Alipay account: an application's, Alipay's for it, and both as certificates under a root."""

import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulator.wire import forge
from simulator.wire.accounts import Keys

# The accounts that there are when the wires run alone.
MERCHANTS = ("2088000000000011", "2088000000000022")
_RSA_SIGNATURES = "1.2.840.113549.1.1"
_ORDER = ((NameOID.COMMON_NAME, "CN"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "OU"), (NameOID.ORGANIZATION_NAME, "O"),
          (NameOID.COUNTRY_NAME, "C"))  # fmt: skip


def make_keys(merchant_no: str) -> Keys:
    """Make what the hub is given and what Alipay keeps. The application's number is derived from the merchant's."""
    root = forge.authority("Sandbox Ant Root R1", organisation="Sandbox Ant")
    # The real bundle holds a root for SM2 as well, whose number is left out.
    other_root = forge.authority(
        "Sandbox Ant Root E1", organisation="Sandbox Ant", key=ec.generate_private_key(ec.SECP256R1())
    )
    app = forge.issued(f"app {merchant_no}", organisation="Sandbox merchant", by=root)
    alipay = forge.issued(f"alipay for {merchant_no}", organisation="Sandbox Ant", by=root)
    next_alipay = forge.issued(f"alipay next for {merchant_no}", organisation="Sandbox Ant", by=root)
    stranger = forge.issued("stranger", organisation="Nobody", by=forge.authority("Nobody R1", organisation="Nobody"))
    bundle = root.certificate_pem + other_root.certificate_pem
    hub = {
        "app_id": app_id(merchant_no),
        "app_private_key": app.key_pem,
        "app_public_key": forge.public_pem(app.key),
        "alipay_public_key": forge.public_pem(alipay.key),
        "app_cert": app.certificate_pem,
        "alipay_cert": alipay.certificate_pem,
        "alipay_root_cert": bundle,
    }
    own = {
        "alipay_key": alipay.key_pem,
        "alipay_cert_sn": certificate_sn(alipay.certificate),
        "next_key": next_alipay.key_pem,
        "next_cert": next_alipay.certificate_pem,
        "next_cert_sn": certificate_sn(next_alipay.certificate),
        "stranger_key": stranger.key_pem,
        "stranger_cert_sn": certificate_sn(stranger.certificate),
        "app_cert_sn": certificate_sn(app.certificate),
        "root_cert_sn": root_sn(bundle),
    }
    return hub, own


def app_id(merchant_no: str) -> str:
    """Return the number of a merchant's application."""
    digits = re.sub(r"\D", "", merchant_no)[-12:] or str(int(hashlib.sha256(merchant_no.encode()).hexdigest(), 16))[:12]
    return f"2021{digits.zfill(12)}"


def certificate_sn(certificate: x509.Certificate) -> str:
    """Return a certificate's number as Alipay counts it: MD5 of the issuer's name and the serial in decimal."""
    issuer = certificate.issuer
    parts = [f"{label}={one.value!s}" for oid, label in _ORDER for one in issuer.get_attributes_for_oid(oid)]
    return hashlib.md5(f"{','.join(parts)}{certificate.serial_number}".encode(), usedforsecurity=False).hexdigest()


def root_sn(bundle: str) -> str:
    """Return the number of a bundle of roots: those of its RSA certificates, joined."""
    found = x509.load_pem_x509_certificates(bundle.encode())
    return "_".join(
        certificate_sn(one) for one in found if one.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)
    )
