"""Personal data of payers: taken in checked, kept sealed, shown masked, revealed to few and on the record."""

import asyncio
import functools
from typing import Any

import grpc
import pytest
import sqlalchemy

from domain.identifiers import luhn_digit
from domain.refusals import Refused
from domain.settings import Settings
from ops import database
from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc
from servers import payers, translate
from servers.payers import PayerVault
from storage import audit
from storage import payments as payment_store
from storage.database import Database
from storage.payments import Intent
from storage.vault import Vault
from tests.integration.office import opened_office
from tests.vaults import new_vault

CARD = "622202020000000000" + luhn_digit("622202020000000000")
PAYER = payments_pb2.Payer(name="张三", id_no="11010519491231002x", card_no=f"6222 0202 {CARD[8:]}", phone_no="13800130000")


def order(**changes: Any) -> payments_pb2.CreatePaymentRequest:
    fields: dict[str, Any] = {
        "request_id": "r-1", "order_no": "o-1", "product_code": "AUTO",
        "amount": common_pb2.Money(amount_minor=1800, currency_code="CNY"), "subject": "车险", "payer": PAYER,
    }  # fmt: skip
    return payments_pb2.CreatePaymentRequest(**{**fields, **changes})


async def intent_of(database: Database, vault: Vault, number: int, payer: payments_pb2.Payer) -> Intent:
    details, _ = payers.read(payer)
    sealed = await PayerVault(database, vault).seal("pnc", f"r-{number}", details)
    return Intent(
        "pnc", f"pay_{number}", f"r-{number}", "0" * 32, f"o-{number}", "AUTO", 1800, "CNY", "BANK_CARD", "H5", "", "车险", "",
        "one", "pnc_one", "pnc-one", f"n-{number}", 4_000_000_000_000, "", "{}", sealed,
    )  # fmt: skip


async def accept(database: Database, vault: Vault, number: int, payer: payments_pb2.Payer) -> str:
    """Write a payment as a router would."""
    intent = await intent_of(database, vault, number, payer)
    made = await database.run(payment_store.accept, [intent])
    assert intent.payment_id in made
    return intent.payment_id


async def test_the_payers_of_a_batch_are_written_in_one_statement(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        database, vault = Database(emptied_database_url, pool_size=1, prepare=payment_store.PREPARED), new_vault()
        intents = [await intent_of(office.database, vault, number, PAYER) for number in range(3)]
        row_by_row = []
        sqlalchemy.event.listen(database.engine, "before_cursor_execute", lambda *seen: row_by_row.append(seen[-1]))
        assert len(await database.run(payment_store.accept, intents)) == 3
        database.close()
        assert row_by_row == [False] * 3


async def test_who_pays_is_sealed_masked_found_and_revealed_on_the_record(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        prepared = Database(emptied_database_url, pool_size=1, prepare=payment_store.PREPARED)
        paid = await accept(prepared, new_vault(), 1, PAYER)
        await accept(prepared, new_vault(), 2, payments_pb2.Payer(phone_no="13900001111"))
        prepared.close()
        finance = await office.stub(payments_pb2_grpc.PaymentsStub, "FINANCE_CHECKER")
        shown = (await finance.GetPaymentTimeline(payments_pb2.GetPaymentTimelineRequest(payment_id=paid))).payer
        assert (shown.name, shown.id_no, shown.card_no, shown.phone_no) == (
            "张*", "110***********002X", f"6222 **** **** {CARD[-4:]}", "138****0000",
        )  # fmt: skip
        for wanted in ({"payer_card_no": CARD}, {"payer_phone_no": "138 0013 0000"}):
            found = await finance.ListPayments(payments_pb2.ListPaymentsRequest(**wanted))
            assert [payment.payment_id for payment in found.payments] == [paid]
        assert not (await finance.ListPayments(payments_pb2.ListPaymentsRequest(payer_phone_no="13700000000"))).payments
        reveal = payments_pb2.RevealPayerRequest(payment_id=paid, reason="the bank asks for it")
        told = await finance.RevealPayer(reveal)
        assert (told.name, told.id_no, told.card_no, told.phone_no) == ("张三", "11010519491231002X", CARD, "13800130000")
        rows = await office.database.run(_rows)
        for secret in ("张三", "11010519491231002", CARD, "13800130000"):
            assert secret not in rows
        assert rows.count("Payments.RevealPayer") == 1 and "the bank asks for it" in rows
        assert rows.count("Payments.ListPayments") == 3
        for roles, call in (
            (("PARTNER_API",), lambda stub: stub.RevealPayer(reveal)),
            (("PARTNER_API",), lambda stub: stub.ListPayments(payments_pb2.ListPaymentsRequest(payer_card_no=CARD))),
            (("VIEWER",), lambda stub: stub.RevealPayer(reveal)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(await office.stub(payments_pb2_grpc.PaymentsStub, *roles, principal=f"p-{roles[0].lower()}"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        stranger = await office.stub(payments_pb2_grpc.PaymentsStub, "FINANCE_CHECKER", tenant_id="life", principal="li")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stranger.RevealPayer(reveal)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert not (await stranger.ListPayments(payments_pb2.ListPaymentsRequest(payer_card_no=CARD))).payments


def _rows(connection: Any) -> str:
    tables = ("payer_details", "payments", "audit_entries")
    return str([connection.exec_driver_sql(f"SELECT t::text FROM {table} t").all() for table in tables])


async def test_old_details_of_ended_payments_are_let_go_of_and_how_many_is_on_record(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        prepared = Database(emptied_database_url, pool_size=1, prepare=payment_store.PREPARED)
        old, under_way, young = [await accept(prepared, new_vault(), number, PAYER) for number in range(3)]
        prepared.close()
        for statement in (
            f"UPDATE payments SET state = 'FAILED', next_action_time = NULL WHERE payment_id IN ('{old}', '{young}')",
            f"UPDATE payer_details SET create_time = now() - interval '40 days' WHERE payment_id <> '{young}'",
        ):
            await office.database.run(lambda connection, statement=statement: connection.exec_driver_sql(statement))
        erase = functools.partial(database.erase_payers, emptied_database_url, tenant="pnc", days=30, reason="over")
        assert [await asyncio.to_thread(erase) for _ in range(2)] == [1, 0]
        left = await office.database.run(lambda c: c.exec_driver_sql("SELECT payment_id FROM payer_details ORDER BY 1").scalars().all())
        assert left == [under_way, young]
        (told,) = await office.database.run(audit.search, tenant_id="pnc", wanted=audit.Wanted(object_kind="payer"), limit=9)
        assert (told.record.after or {})["count"] == 1 and told.record.reason == "over"


@pytest.mark.parametrize(
    ("field", "value"),
    [("id_no", "110105194912310021"), ("id_no", "1101"), ("card_no", "1234"), ("card_no", "62220202abc"),
     ("phone_no", "12345678901"), ("name", "x" * 65), ("name", "a\nb")],
)  # fmt: skip
def test_a_detail_that_cannot_be_is_refused_by_its_field_and_never_quoted(field: str, value: str) -> None:
    with pytest.raises(Refused) as caught:
        payers.read(payments_pb2.Payer(**{field: value}))
    (violation,) = caught.value.refusal.violations
    assert violation.field == f"payer.{field}" and value not in str(caught.value)


def test_a_card_with_a_wrong_check_digit_is_taken_with_a_warning() -> None:
    details, warnings = payers.read(payments_pb2.Payer(card_no=CARD[:-1] + str((int(CARD[-1]) + 1) % 10)))
    assert details.card_no[:4] == "6222" and warnings[0].startswith("payer.card_no: the check digit")
    assert payers.read(PAYER)[1] == [] and CARD not in repr(details)


@pytest.mark.parametrize("payer_ref", ["13800130000", "11010519491231002X"])
def test_a_token_that_is_a_phone_or_an_identity_number_is_refused_with_a_hint(payer_ref: str) -> None:
    with pytest.raises(Refused) as caught:
        translate.new_payment(order(payer_ref=payer_ref), tenant_id="pnc", now_ms=1, settings=Settings("pnc"))
    assert "`payer`" in caught.value.refusal.violations[0].rule
    # Tokens of cards look like cards, and Alipay's numbers of users may by chance.
    assert translate.new_payment(order(payer_ref=CARD), tenant_id="pnc", now_ms=1, settings=Settings("pnc")).payer_ref == CARD
