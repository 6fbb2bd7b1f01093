"""The keys of a WeChat Pay merchant: his own, the platform's public key for him, and the platform's certificates."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from simulator.wire import forge
from simulator.wire.accounts import Keys

# The accounts that there are when the wires run alone.
MERCHANTS = ("1900000109", "1900000110")
PLAN_ID = "12535"


def make_keys(merchant_no: str) -> Keys:
    """Make what the hub is given and what the platform keeps.

    The certificate `next` is offered for download beside the one in use, and is not in what the hub is given: a
    merchant has to fetch it before the platform begins to sign with it.
    """
    root = forge.authority("Sandbox Tenpay Root", organisation="Sandbox Tenpay")
    merchant = forge.issued(f"merchant {merchant_no}", organisation="Sandbox merchant", by=root)
    in_use = forge.issued(f"platform for {merchant_no}", organisation="Sandbox Tenpay", by=root)
    following = forge.issued(f"platform next for {merchant_no}", organisation="Sandbox Tenpay", by=root)
    public = forge.rsa_key()
    hub = {
        "appid": appid(merchant_no),
        "plan_id": PLAN_ID,
        "mch_private_key": merchant.key_pem,
        "mch_serial_no": f"{merchant.certificate.serial_number:X}",
        "mch_cert": merchant.certificate_pem,
        "apiv3_key": hashlib.sha256(forge.private_pem(public).encode()).hexdigest()[:32],
        "platform_public_key": forge.public_pem(public),
        "platform_public_key_id": f"PUB_KEY_ID_01{merchant_no}2024120300",
        "platform_certs": in_use.certificate_pem,
    }
    own = {
        "public_key": forge.private_pem(public),
        "cert_serial": f"{in_use.certificate.serial_number:X}",
        "cert_key": in_use.key_pem,
        "next_serial": f"{following.certificate.serial_number:X}",
        "next_key": following.key_pem,
        "next_cert": following.certificate_pem,
        "mch_public_key": _public_pem(merchant),
    }
    return hub, own


def appid(merchant_no: str) -> str:
    """Return the number of a merchant's application."""
    return f"wx{hashlib.sha256(merchant_no.encode()).hexdigest()[:16]}"


def _public_pem(identity: forge.Identity) -> str:
    assert isinstance(identity.key, RSAPrivateKey), "merchants have RSA keys"
    return forge.public_pem(identity.key)
