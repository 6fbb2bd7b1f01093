"""The other side, in memory: a bank that the template speaks to. Leave this file behind when you copy the folder.

It shows what the contract suite wants of a test bench: a book of truth, and faults that can be switched on.
"""

import json
from typing import Any

from channels._template import signing


class ExampleBank:
    """Charges at once. `fault` is "", REFUSED, LOST_BEFORE, LOST_AFTER, BAD_SIGNATURE, UNKNOWN_WORD or NO_MONEY."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self._secrets = secrets
        self.fault = ""
        self.charged: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self.refunds: dict[str, dict[str, Any]] = {}
        self.settled: set[str] = set()

    async def post(self, operation: str, body: bytes, merchant_no: str, signature: str) -> tuple[bytes, str]:
        """Take one request, as the bank's HTTP server would."""
        if self.fault == "REFUSED":
            raise ConnectionRefusedError
        if self.fault == "LOST_BEFORE":
            raise ConnectionResetError
        secret = self._secrets[merchant_no]
        said: dict[str, Any] = {"result": "BAD_REQUEST"}
        if signing.verify(secret, body, signature):
            said = getattr(self, f"_{operation}")(json.loads(body), merchant_no)
        if self.fault == "LOST_AFTER":
            raise ConnectionResetError
        if self.fault == "UNKNOWN_WORD":
            said = {"result": "PURPLE"}
        reply = json.dumps(said).encode()
        return reply, signing.sign("forged" if self.fault == "BAD_SIGNATURE" else secret, reply)

    def _charge(self, item: dict[str, Any], merchant_no: str) -> dict[str, Any]:
        number = item["pay_no"]
        if number not in self.charged and number not in self.closed:
            if self.fault == "NO_MONEY" or item["fen"] % 100 == 51:
                return {"result": "NO_MONEY", "why": "NO_FUNDS", "merchant": merchant_no}
            self.charged[number] = {
                "fen": item["fen"], "currency": item["currency"], "merchant": merchant_no, "txn": f"B{number}",
                "paid_ms": 1,
            }  # fmt: skip
        return self._query(item, merchant_no)

    def _query(self, item: dict[str, Any], merchant_no: str) -> dict[str, Any]:
        charge = self.charged.get(item["pay_no"])
        if charge is not None and charge["merchant"] == merchant_no:
            return {"result": "PAID", **charge}
        return {"result": "CLOSED" if item["pay_no"] in self.closed else "UNKNOWN_NUMBER", "merchant": merchant_no}

    def _close(self, item: dict[str, Any], merchant_no: str) -> dict[str, Any]:
        if item["pay_no"] not in self.charged:
            self.closed.add(item["pay_no"])
        return self._query(item, merchant_no)

    def _refund(self, item: dict[str, Any], merchant_no: str) -> dict[str, Any]:
        charge = self.charged.get(item["pay_no"])
        if item["refund_no"] not in self.refunds:
            if charge is None or charge["merchant"] != merchant_no:
                return {"result": "UNKNOWN_NUMBER"}
            back = sum(refund["fen"] for refund in self.refunds.values() if refund["pay_no"] == item["pay_no"])
            if item["fen"] > charge["fen"] - back:
                return {"result": "REFUND_REFUSED", "why": "OVER_REMAINING"}
            self.refunds[item["refund_no"]] = {"pay_no": item["pay_no"], "fen": item["fen"]}
        return self._query_refund(item, merchant_no)

    def _query_refund(self, item: dict[str, Any], merchant_no: str) -> dict[str, Any]:
        refund = self.refunds.get(item["refund_no"])
        if refund is None:
            return {"result": "UNKNOWN_NUMBER"}
        charge = self.charged[refund["pay_no"]]
        result = "REFUNDED" if item["refund_no"] in self.settled else "REFUNDING"
        return {"result": result, "fen": refund["fen"], "currency": charge["currency"], "merchant": merchant_no}
