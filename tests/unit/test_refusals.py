"""Refusals: they travel between processes, and a program can read them."""

import pickle

from domain.refusals import Kind, Refusal, Refused, Violation, invalid


def test_a_refusal_survives_the_trip_between_processes() -> None:
    refusal = Refusal(Kind.REUSED, "REQUEST_ID_REUSED", "used with other content", metadata=(("payment_id", "pay_1"),))
    assert pickle.loads(pickle.dumps(Refused(refusal))).refusal == refusal


def test_invalid_names_every_field_and_rule() -> None:
    refusal = invalid(Violation("amount_minor", "must be above 0"), Violation("currency_code", "is unknown"))
    assert refusal.kind is Kind.INVALID
    assert refusal.message == "amount_minor: must be above 0; currency_code: is unknown"
    assert [violation.field for violation in refusal.violations] == ["amount_minor", "currency_code"]
