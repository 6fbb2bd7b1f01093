"""The platform's certificates: the one in use and the one that follows, encrypted for the merchant who asks."""

import secrets

from cryptography import x509

from simulator.wire.wechatpay.messages import NOTHING_TOLD, Json, time_text
from simulator.wire.wechatpay.methods import Call, Reply
from simulator.wire.wechatpay.signing import encrypted


async def certificates(call: Call) -> Reply:
    """Offer both certificates."""
    bundles = (call.account.hub["platform_certs"], call.account.own["next_cert"])
    return Reply({"data": [_offered(call, bundle) for bundle in bundles]}, NOTHING_TOLD)


def _offered(call: Call, pem: str) -> Json:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    sealed = encrypted(
        call.account.hub["apiv3_key"], pem.encode(), associated_data="certificate", nonce=secrets.token_hex(6)
    )
    return {
        "serial_no": f"{certificate.serial_number:X}",
        "effective_time": time_text(int(certificate.not_valid_before_utc.timestamp()) * 1_000),
        "expire_time": time_text(int(certificate.not_valid_after_utc.timestamp()) * 1_000),
        "encrypt_certificate": dict(sealed),
    }
