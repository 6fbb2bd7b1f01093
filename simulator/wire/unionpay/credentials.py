"""The keys of a UnionPay account: a merchant's, and UnionPay's own chain from root to the certificate that signs.

Each merchant has a chain of its own, so that one whose answers are signed for another is found out.
"""

from simulator.wire import forge
from simulator.wire.accounts import Keys

# The accounts that there are when the wires run alone: merchant numbers have 15 digits.
MERCHANTS = ("777290000000011", "777290000000022")
PLATFORM_NAME = "041@SIM@中国银联股份有限公司@00000001"
ORGANISATION = "Sandbox OCA1"


def make_keys(merchant_no: str) -> Keys:
    """Make what the hub is given and what UnionPay keeps."""
    root = forge.authority("Sandbox Root CA", organisation=ORGANISATION)
    middle = forge.issued("Sandbox OCA1", organisation=ORGANISATION, by=root, is_authority=True)
    merchant = forge.issued(f"041@{merchant_no}@Sandbox merchant@1", organisation=ORGANISATION, by=middle)
    signs = forge.issued(PLATFORM_NAME, organisation=ORGANISATION, by=middle)
    following = forge.issued(PLATFORM_NAME, organisation=ORGANISATION, by=middle)
    # Over since the first day of 2025.
    expired = forge.issued(PLATFORM_NAME, organisation=ORGANISATION, by=middle, days=366)
    encrypts = forge.issued("041@SIM@encrypt@1", organisation=ORGANISATION, by=middle)
    stranger = forge.issued(
        PLATFORM_NAME, organisation="Nobody", by=forge.authority("Nobody R1", organisation="Nobody")
    )
    hub = {
        "sign_private_key": merchant.key_pem,
        "sign_cert": merchant.certificate_pem,
        "root_cert": root.certificate_pem,
        "middle_cert": middle.certificate_pem,
        "encrypt_cert": encrypts.certificate_pem,
    }
    own = {
        "merchant_cert_id": str(merchant.certificate.serial_number),
        "sign_key": signs.key_pem,
        "sign_cert": signs.certificate_pem,
        "next_key": following.key_pem,
        "next_cert": following.certificate_pem,
        "expired_key": expired.key_pem,
        "expired_cert": expired.certificate_pem,
        "stranger_key": stranger.key_pem,
        "stranger_cert": stranger.certificate_pem,
        "encrypt_key": encrypts.key_pem,
        "encrypt_cert_id": str(encrypts.certificate.serial_number),
    }
    return hub, own
