"""A mandate of the world as an agreement of Alipay."""

from simulator.records import Mandate
from simulator.wire.alipay.messages import time_text
from simulator.words import SideWord

NEVER = "2115-02-01 00:00:00"
_STATUS = {SideWord.MANDATE_WAITING: "TEMP", SideWord.MANDATE_SIGNED: "NORMAL", SideWord.MANDATE_ENDED: "UNSIGN"}


def agreement_no(mandate: Mandate) -> str:
    """Return the agreement's number: the world's own, in decimal."""
    return str(int(mandate.txn_no, 16)).zfill(28)


def fields(mandate: Mandate) -> dict[str, str]:
    """Return the fields that questions and callbacks have in common."""
    found = {
        "agreement_no": agreement_no(mandate),
        "external_agreement_no": mandate.number,
        "personal_product_code": mandate.memo.get("personal_product_code", ""),
        "sign_scene": mandate.memo.get("sign_scene", ""),
        "status": _STATUS[mandate.word],
        "alipay_user_id": f"2088{int(mandate.txn_no[:10], 16) % 10**12:012d}",
        "alipay_logon_id": "pay***@sandbox.example",
    }
    if mandate.done_ms:
        signed = time_text(mandate.done_ms)
        found |= {"sign_time": signed, "valid_time": signed, "invalid_time": NEVER}
    return found
