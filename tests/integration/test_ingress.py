"""The ingress on real PostgreSQL, with what the real channels' wires send: verified, kept, and answered as they want."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection

from actors.messages import CallbackHeard
from actors.peers import PeerLost
from channels.port import PayoutRequest, RefundRequest, SignRequest
from domain.evidence import Outcome
from servers import callbacks as ingress_module
from servers.callbacks import CallbackIngress
from servers.desk import DeskView
from servers.identity import KeyRing
from servers.web import application
from storage import callbacks as store
from storage import credentials
from storage import gauges as gauges_store
from storage.database import Database, DatabaseUnavailable
from tests.contract.benches import number
from tests.contract.rigs import MERCHANTS, PAYEES, Rig, rigged
from tests.unit.sandbox_kit import Heard
from tests.vaults import new_vault

CALLING = ["alipay", "unionpay", "wechatpay"]
# What each channel takes as "heard", and as "come again".
HEARD = {"alipay": b"success", "unionpay": b"ok", "wechatpay": b'{"code":"SUCCESS","message":"OK"}'}
AGAIN = {"alipay": b"fail", "unionpay": b"{}", "wechatpay": b'{"code": "FAIL", "message": "{}"}'}


class Actors:
    """The router applies what it hears, and connectors count how often they are sent to look."""

    router_count = 1

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.heard: list[CallbackHeard] = []
        self.looks: list[str] = []
        self.is_away = False
        self._name = ""

    def shard_of(self, tenant_id: str) -> int:
        return 0

    def peer(self, name: str) -> "Actors":
        self._name = name
        return self

    async def call(self, method: str, *arguments: Any, timeout_s: float = 0) -> Any:
        if self.is_away:
            raise PeerLost(method)
        if method == "look_for_certificates":
            self.looks.append(self._name)
            return None
        assert method == "evidence"
        self.applied += arguments[0]
        return ["APPLIED"] * len(arguments[0])

    def callback_mailbox(self, channel_id: str) -> Any:
        return self

    def tell(self, heard: CallbackHeard) -> bool:
        self.heard.append(heard)
        return True


class Ingress:
    """The ingress as its own process has it."""

    def __init__(self, database: Database, view: DeskView) -> None:
        self.database = database
        self.view = view
        self.actors = Actors()
        self.registry = CollectorRegistry()
        self.served = CallbackIngress(
            desk=view, directory=cast("Any", self.actors), database=database, registry=self.registry
        )
        app = application(ingress=self.served, database=database, silent_actors=_nobody)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingress", trust_env=False)

    async def take(self, kind: str, letter: Heard) -> tuple[int, bytes]:
        headers = {name: value for name, value in letter.headers.items() if name not in ("host", "content-length")}
        answer = await self.http.post(f"/callbacks/{kind}", content=letter.body, headers=headers)
        return answer.status_code, answer.content

    async def rows(self) -> list[tuple[str, str, bytes]]:
        return await self.database.run(_rows)


async def _nobody() -> list[str]:
    return []


def _rows(connection: Connection) -> list[tuple[str, str, bytes]]:
    rows = connection.exec_driver_sql("SELECT attempt_no, state, raw FROM callbacks ORDER BY receive_time")
    return [(row[0], row[1], bytes(row[2])) for row in rows]


def document(rigs: Sequence[Rig]) -> dict[str, Any]:
    return {
        "tenants": [{"tenant_id": "pnc", "display_name": "P&C", "products": ["AUTO"]}],
        "channels": [
            {"channel_id": rig.kind, "display_name": rig.kind, "kind": rig.kind, "settings": rig.settings} for rig in rigs
        ],
        "accounts": [
            {"account_id": f"pnc_{rig.kind}", "tenant_id": "pnc", "channel_id": rig.kind, "merchant_no": rig.merchant_no,
             "terms": {"methods": ["QR"], **{name: term for name, term in rig.accounts[0].terms.items() if term}},
             "credentials": dict(rig.accounts[0].credentials[0].values)}
            for rig in rigs
        ],
    }  # fmt: skip


@asynccontextmanager
async def opened(database_url: str, rig: Rig) -> AsyncIterator[Ingress]:
    database, vault = Database(database_url, pool_size=2), new_vault()
    await database.run(credentials.install, vault, document([rig]))
    view = DeskView(database, KeyRing(b""), vault)
    await view.start()
    ingress = Ingress(database, view)
    try:
        yield ingress
    finally:
        await ingress.http.aclose()
        database.close()


def _attempt(connection: Connection, attempt_no: str, channel_id: str, merchant_no: str) -> None:
    connection.exec_driver_sql(
        """INSERT INTO attempts (payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no,
                                 state, decision)
           VALUES ('pay_1', 1, %s, 'pnc', %s, %s, %s, 'LIVE', '{}')""",
        (attempt_no, channel_id, f"pnc_{channel_id}", merchant_no),
    )


async def everything(rig: Rig) -> dict[str, Heard]:
    """Have the platform tell of a payment, its refund, a payout and, where there are some, a mandate."""
    rig.hook.believes, rig.hook.status = None, 200
    await rig.charge("n1")
    await rig.world.advance(60)
    paid = await rig.query("n1")
    refund = RefundRequest(number("r1"), number("n1"), rig.merchant_no, 400, "CNY", 10_000, paid.channel_txn_no, rig.hook.url)
    assert (await rig.ask("refund", refund)).outcome is Outcome.ACCEPTED
    scene = "1004" if rig.kind == "wechatpay" else ""
    payout = PayoutRequest(number("p1"), rig.merchant_no, 500, "CNY", PAYEES[rig.kind], "赔款", scene, rig.hook.url)
    assert (await rig.ask("payout", payout)).outcome is Outcome.ACCEPTED
    names = ["payment", "refund", "payout"]
    if rig.kind != "unionpay":
        sign = SignRequest(
            "mandate1", rig.merchant_no, "payer@example.com", "李明", "寿险", rig.hook.url, limit_minor=9_900, period_days=30,
            first_debit_date="2030-01-01",
        )  # fmt: skip
        wanted = await rig.ask("sign", sign)
        assert wanted.outcome is Outcome.ACCEPTED
        await agree(wanted.action_value)
        names.append("mandate")
    await rig.world.advance(60)
    await rig.hears(len(names))
    letters = {}
    for letter, item in zip(list(rig.hook.heard), await rig.hears(0), strict=True):
        assert not isinstance(item, str)
        told = item.evidence
        kinds = {number("n1"): "payment", number("p1"): "payout", "mandate1": "mandate"}
        letters["refund" if told.refund_no else kinds[told.attempt_no]] = letter
    assert sorted(letters) == sorted(names)
    return letters


async def agree(url: str) -> None:
    """Press the button on the payer's page."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = (await browser.get(url)).text
        action = page.partition('action="')[2].partition('"')[0]
        await browser.post(str(httpx.URL(url).join(action)), data={"act": "pay"})


@pytest.mark.parametrize("kind", CALLING)
async def test_what_belongs_to_a_payment_is_applied_and_the_rest_is_kept_until_somebody_asks_for_it(
    emptied_database_url: str, tmp_path: Path, kind: str
) -> None:
    async with rigged(kind, tmp_path) as rig, opened(emptied_database_url, rig) as ingress:
        letters = await everything(rig)
        await ingress.database.run(_attempt, number("n1"), kind, rig.merchant_no)
        again = AGAIN[kind].replace(b"{}", b"NOT_SETTLED_YET")
        for _ in range(3):  # however often they come
            answers = {name: await ingress.take(kind, letter) for name, letter in letters.items()}
            expected = dict.fromkeys(letters, (404, again)) | dict.fromkeys(("payment", "refund"), (200, HEARD[kind]))
            assert answers == expected
        assert [told.evidence.refund_no for told in ingress.actors.applied] == ["", number("r1")], "each once"
        kept = {raw: state for _, state, raw in await ingress.rows()}
        parked = {letter.body: "PARKED" for name, letter in letters.items() if name in ("payout", "mandate")}
        shown = await ingress.database.run(store.parked, channel_id=kind, limit=9)
        assert sorted(row.size_bytes for row in shown) == sorted(map(len, parked))
        assert {row.merchant_no for row in shown} == {rig.merchant_no}
        assert await ingress.database.run(store.parked, channel_id="another", limit=9) == []
        gauges = {gauge.name: gauge for gauge in await ingress.database.run(gauges_store.read)}
        assert (gauges["callbacks_parked"].labels, gauges["callbacks_parked"].value) == ({"channel": kind}, len(parked))
        assert kept == parked | {letters[name].body: "APPLIED" for name in ("payment", "refund")}
        ingress.actors.is_away = True
        await ingress.database.run(lambda connection: connection.exec_driver_sql("TRUNCATE callbacks"))
        assert await ingress.take(kind, letters["payment"]) == (503, AGAIN[kind].replace(b"{}", b"NOT_TAKEN"))


async def test_who_dies_before_a_callback_is_kept_has_acknowledged_nothing(
    emptied_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rigged("unionpay", tmp_path) as rig, opened(emptied_database_url, rig) as ingress:
        letter = (await everything(rig))["payment"]
        await ingress.database.run(_attempt, number("n1"), "unionpay", rig.merchant_no)
        with monkeypatch.context() as patch:
            patch.setattr(store, "keep", _cut)
            assert (await ingress.take("unionpay", letter))[0] == 503
        assert (len(ingress.actors.applied), await ingress.rows()) == (1, [])
        assert (await ingress.take("unionpay", letter))[0] == 200  # it comes again
        assert ingress.actors.applied[0].evidence._replace(time_ms=0) == ingress.actors.applied[1].evidence._replace(time_ms=0)
        assert [(state, raw) for _, state, raw in await ingress.rows()] == [("APPLIED", letter.body)]
        assert (await ingress.take("unionpay", letter))[0] == 200
        assert len(ingress.actors.applied) == 2, "what is kept is asked about no more"


def _cut(*_: object) -> None:
    raise DatabaseUnavailable("the connection was cut")


@pytest.mark.parametrize("kind", CALLING)
async def test_what_is_not_believed_leaves_no_row_and_is_refused_in_the_channels_own_way(
    emptied_database_url: str, tmp_path: Path, kind: str
) -> None:
    async with rigged(kind, tmp_path) as rig, opened(emptied_database_url, rig) as ingress:
        letter = (await everything(rig))["payment"]
        forged = letter._replace(body=letter.body.replace(b"1", b"2"))
        assert await ingress.take(kind, forged) == (401, AGAIN[kind].replace(b"{}", b"SIGNATURE_INVALID"))
        large = letter._replace(body=b"x" * (ingress_module.BODY_BYTES_MAX + 1))
        assert await ingress.take(kind, large) == (413, AGAIN[kind].replace(b"{}", b"TOO_LARGE"))
        assert (await ingress.http.post(f"/callbacks/{kind}/", content=letter.body)).status_code == 404
        assert (await ingress.http.get("/metrics/")).status_code == 404
        assert await ingress.rows() == []


async def test_a_callback_that_names_a_new_certificate_is_believed_once_it_was_looked_for(
    emptied_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rigged("wechatpay", tmp_path) as rig, opened(emptied_database_url, rig) as ingress:
        await ingress.database.run(_attempt, number("n1"), "wechatpay", MERCHANTS["wechatpay"][0])
        await rig.fault("CALLBACK_NEW_CERTIFICATE")
        await rig.charge("n1")
        await rig.world.advance(60)
        await rig.hears(1)
        letter = rig.hook.heard[0]
        assert (await ingress.take("wechatpay", letter))[0] == 401
        for serial in range(100):  # a forger names what he likes
            named = letter.headers | {"wechatpay-serial": f"{serial:X}"}
            assert (await ingress.take("wechatpay", letter._replace(headers=named)))[0] == 401
        assert ingress.actors.looks == ["channel/wechatpay"], "one look a minute"
        await rig.channel.learn()  # as the connector does
        await ingress.database.run(credentials.learn, new_vault(), "wechatpay", rig.channel.take_learned(), now_ms=rig.world.real_ms())
        await ingress.view._read()
        assert await ingress.take("wechatpay", letter) == (200, HEARD["wechatpay"])
        assert len(ingress.actors.applied) == 1
        monkeypatch.setattr(ingress_module, "CERTIFICATES_PAUSE_S", 0.0)
        ingress.served._ask_again_s.clear()
        ingress.actors.is_away = True  # a connector that is just restarting looks by itself
        named = letter.headers | {"wechatpay-serial": "ABC"}
        assert (await ingress.take("wechatpay", letter._replace(headers=named)))[0] == 401
        await asyncio.sleep(0)
