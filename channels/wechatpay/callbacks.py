"""Reads WeChat Pay's callbacks.

The serial number in the headers chooses the key, and with it the merchants that hold that key. Of these, the one whose
API key opens the message is the one that it is for, and the only one that it may speak of.
"""

import json
import re
from typing import NamedTuple

from channels.port import CallbackRefused, Notice
from channels.wechatpay import mapping, messages, signing
from channels.wechatpay.config import Merchant, PlatformKey, WechatpayConfig
from channels.wechatpay.messages import Json

ALGORITHM = "AEAD_AES_256_GCM"
# As certificates have it: at most twenty bytes.
_SERIAL = re.compile("[0-9A-F]{1,40}")


class _Signer(NamedTuple):
    key: PlatformKey
    merchants: tuple[Merchant, ...]


class WechatpayCallbacks:
    """Pure, so that it can run at the HTTP edge."""

    def __init__(self, config: WechatpayConfig) -> None:
        self._signers: dict[str, list[_Signer]] = {}
        for merchant in config.merchants.values():
            for key in merchant.platform.values():
                self._add(key, merchant)

    def read(self, *, headers: dict[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the signature over time, nonce and raw bytes, then the time, then open and read."""
        merchants = self._signed_for(headers, body, now_ms)
        if not merchants:
            serial = headers.get("wechatpay-serial", "")
            is_new = serial not in self._signers and _SERIAL.fullmatch(serial) is not None
            raise CallbackRefused("SIGNATURE_INVALID", names_new_certificate=is_new)
        if not signing.is_timely(headers, now_ms=now_ms):
            raise CallbackRefused("STALE_TIMESTAMP")
        try:
            item = messages.read(body)
            notify_id = messages.text(item, "id", required=True)
            merchant, opened = _opened(item, merchants)
            resource = messages.inner(item, "resource")
            evidence = mapping.evidence_of(
                opened, messages.text(resource, "original_type"), mchid=merchant.mchid, now_ms=now_ms
            )
        except ValueError as error:
            raise CallbackRefused("MALFORMED") from error
        if evidence is None:
            raise CallbackRefused("MALFORMED", word=str(item.get("event_type", "")))
        return Notice(notify_id, evidence, mapping.word_of(opened))

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return what the platform takes as "heard"."""
        return "application/json", b'{"code":"SUCCESS","message":"OK"}'

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return what the platform shows to a merchant who looks for what went wrong."""
        return "application/json", json.dumps({"code": "FAIL", "message": reason}).encode()

    def _add(self, key: PlatformKey, merchant: Merchant) -> None:
        signers = self._signers.setdefault(key.serial, [])
        for place, signer in enumerate(signers):
            if signer.key.key == key.key:
                signers[place] = signer._replace(merchants=(*signer.merchants, merchant))
                return
        signers.append(_Signer(key, (merchant,)))

    def _signed_for(self, headers: dict[str, str], body: bytes, now_ms: int) -> tuple[Merchant, ...]:
        for signer in self._signers.get(headers.get("wechatpay-serial", ""), ()):
            if signing.verified(headers, body, signer.key, now_ms=now_ms):
                return signer.merchants
        return ()


def _opened(item: Json, merchants: tuple[Merchant, ...]) -> tuple[Merchant, Json]:
    """Open a resource for the merchant that it is for. Raise ValueError for what is no resource."""
    resource = messages.inner(item, "resource")
    if messages.text(resource, "algorithm", required=True) != ALGORITHM:
        raise ValueError("algorithm is unknown")
    nonce, ciphertext = (messages.text(resource, name, required=True) for name in ("nonce", "ciphertext"))
    associated_data = messages.text(resource, "associated_data")
    for merchant in merchants:
        opened = signing.unseal(merchant.api_keys, nonce=nonce, associated_data=associated_data, ciphertext=ciphertext)
        if opened is not None:
            inside = messages.read(opened)
            if messages.text(inside, "mchid") not in ("", merchant.mchid):
                raise CallbackRefused("SIGNATURE_INVALID")
            return merchant, inside
    raise CallbackRefused("SIGNATURE_INVALID")
