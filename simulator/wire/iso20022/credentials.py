"""A customer's keys and account at the bank."""

import hashlib

from simulator.wire import forge
from simulator.wire.accounts import Keys

# The customers that there are when the wires run alone.
MERCHANTS = ("CORP0001", "CORP0002")
BANK_CODE = "105100000017"


def make_keys(merchant_no: str) -> Keys:
    """Make what the hub is given and what the bank keeps. The account's number is derived from the customer's."""
    customer, bank, following, stranger = forge.rsa_key(), forge.rsa_key(), forge.rsa_key(), forge.rsa_key()
    hub = {
        "sign_private_key": forge.private_pem(customer),
        "bank_public_key": forge.public_pem(bank),
        "account_no": account_no(merchant_no),
        "bank_code": BANK_CODE,
    }
    own = {
        "customer_public_key": forge.public_pem(customer),
        "bank_key": forge.private_pem(bank),
        "next_key": forge.private_pem(following),
        "next_public_key": forge.public_pem(following),
        "stranger_key": forge.private_pem(stranger),
    }
    return hub, own


def account_no(merchant_no: str) -> str:
    """Return the number of a customer's account."""
    return "6225" + str(int(hashlib.sha256(merchant_no.encode()).hexdigest(), 16))[:12]
