"""A certificate's last month: who is told what and when, and that nobody is told twice."""

import asyncio
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from actors import reminder as reminders
from actors.reminder import Reminder
from domain.expiry import DAY_MS
from storage import credentials, expiry, identity
from storage import desk as desk_store
from storage.credentials import Owner, OwnerKind
from storage.database import Database
from storage.materials import Shown
from tests.certificates import certificate_pem, private_pem
from tests.harness import desk_document
from tests.vaults import new_vault

# 2017-08-02 in China, a little before noon; and 2017-07-03.
END_MS = 1_501_645_000_000
OWNER = Owner("pnc", OwnerKind.ACCOUNT, "pnc_one")


class Killed(BaseException):
    """What no handler expects."""


class Inbox:
    """A local endpoint that takes messages, or refuses them."""

    def __init__(self) -> None:
        self.titles: list[tuple[str, str]] = []
        self.refuses = False
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not inbox.refuses:
                    inbox.titles.append((self.path, body["title"]))
                self.send_response(307 if self.path == "/moved" else 503 if inbox.refuses else 200)
                self.send_header("location", inbox.url("inside"))
                inbox.refuses = inbox.refuses and self.path != "/moved"
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"json://127.0.0.1:{self.server.server_address[1]}/{path}"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.server.shutdown()


@pytest.fixture
def database(emptied_database_url: str) -> Iterator[Database]:
    made = Database(emptied_database_url, pool_size=2)
    yield made
    made.close()


def fill(connection: Any, inbox: Inbox) -> None:
    vault = new_vault()
    credentials.install(connection, vault, desk_document(["one"]))
    shown = [Shown("sign_cert", "CERTIFICATE", "ab12", END_MS)]
    values = {"secret": "x"}
    credentials.add(connection, vault, OWNER, values, shown, principal="zhang", state=credentials.State.ACTIVE)
    for number, (name, escalation, ways) in enumerate(
        (("a", False, ("a-mail", "a-sms")), ("b", False, ("b-mail", "b-sms")), ("c", False, ("c-mail", "c-sms")),
         ("boss", True, ("boss",)))
    ):  # fmt: skip
        expiry.add_contact(
            connection, vault, tenant_id="pnc", contact_id=f"con_{number}", display_name=name, escalation=escalation,
            targets=[(inbox.url(way), way) for way in ways],
        )


send = partial(reminders.send, allow_private=True)


def reminder(database: Database, send: Any = send) -> Reminder:
    """One that remembers nothing, as after a restart."""
    return Reminder(database, new_vault(), send=send, registry=CollectorRegistry())


async def test_five_reminders_in_a_month_then_daily_each_once_to_each_target(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    told: dict[int, list[str]] = {}
    for day in range(31, -4, -1):
        before = len(inbox.titles)
        for _ in range(2):
            await reminder(database).remind(now_ms=END_MS - day * DAY_MS)
        told[day] = [path for path, _ in inbox.titles[before:]]
    everyday = ["/a-mail", "/a-sms", "/b-mail", "/b-sms", "/c-mail", "/c-sms"]
    assert [day for day, paths in told.items() if paths] == [30, 15, 7, 3, 1, 0, -1, -2, -3]
    assert sorted(told[30]) == sorted(told[15]) == everyday, "three people by two ways"
    assert sorted(told[7]) == ["/a-mail", "/a-sms", "/b-mail", "/b-sms", "/boss", "/c-mail", "/c-sms"]
    assert max(Counter(inbox.titles).values()) == 1
    assert inbox.titles[0][1] == "Paydesk: credentials of account pnc_one, version 2 on channel one ends in 30 days"
    inside = await database.run(expiry.reminders, tenant_id="pnc", limit=100)
    assert [r.mark for r in inside if not r.target_id] == [-3, -2, -1, 0, 1, 3, 7, 15, 30]
    assert {r.state for r in inside} == {"SHOWN", "SENT"}
    assert not await database.run(expiry.reminders, tenant_id="life", limit=100)


async def acknowledged(database: Database, mark: int) -> None:
    inside = await database.run(expiry.reminders, tenant_id="pnc", limit=100)
    (one,) = [r for r in inside if r.mark == mark and not r.target_id]
    await database.run(expiry.acknowledge, tenant_id="pnc", reminder=one, principal="zhang")


async def test_who_acknowledges_keeps_others_out_of_it_until_the_next_message(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    told = []
    for day in (30, 15, 7, 3, 1, 0, -1):
        before = len(inbox.titles)
        await reminder(database).remind(now_ms=END_MS - day * DAY_MS)
        told += [day] if "/boss" in [path for path, _ in inbox.titles[before:]] else []
        if day in (30, 15, 1, 0):
            await acknowledged(database, day)
    assert told == [3, 1], "neither the one of 7 days nor the one of 3 was answered"
    open_ones = await database.run(expiry.reminders, tenant_id="pnc", unacknowledged=True, limit=100)
    assert {r.mark for r in open_ones} == {7, 3, -1}


async def test_people_are_told_anew_of_the_end_that_a_renewal_in_place_has_put_off(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    await reminder(database).remind(now_ms=END_MS - 30 * DAY_MS)
    await acknowledged(database, 30)
    later_ms = END_MS + 365 * DAY_MS
    await database.run(
        lambda connection: connection.exec_driver_sql(
            "UPDATE credentials SET not_after = to_timestamp(%s / 1000.0) WHERE version = 2", (later_ms,)
        )
    )
    before = len(inbox.titles)
    for day in (30, 7):
        for _ in range(2):
            await reminder(database).remind(now_ms=later_ms - day * DAY_MS)
    paths = Counter(path for path, _ in inbox.titles[before:])
    assert paths.pop("/boss") == 1, "what was said of the first end does not count for the second"
    assert set(paths.values()) == {2}


async def test_what_a_dying_sender_had_taken_is_never_sent_again(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    now_ms = END_MS - 30 * DAY_MS

    def dies(url: str, title: str, body: str) -> bool:
        send(url, title, body)
        raise Killed  # after sending, before anything is recorded

    with pytest.raises(Killed):
        await reminder(database, dies).remind(now_ms=now_ms)
    async with asyncio.timeout(10):
        while len(inbox.titles) < 6:  # what it had begun
            await asyncio.sleep(0.01)
    await reminder(database).remind(now_ms=now_ms)
    await reminder(database).remind(now_ms=now_ms + 2 * expiry.LEASE_S * 1000)
    assert len(inbox.titles) == len(set(inbox.titles)) == 6
    states = Counter(r.state for r in await database.run(expiry.reminders, tenant_id="pnc", limit=100))
    assert states == {"UNSURE": 6, "SHOWN": 1}


async def test_a_target_that_refuses_is_tried_again_and_given_up(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    now_ms = END_MS - 30 * DAY_MS
    inbox.refuses = True
    await reminder(database).remind(now_ms=now_ms)
    inbox.refuses = False
    await reminder(database).remind(now_ms=now_ms + 1000)
    assert not inbox.titles, "not before its time"
    await reminder(database).remind(now_ms=now_ms + expiry.RETRY_S * 1000)
    assert len(inbox.titles) == 6
    await reminder(database, lambda *_: False).remind(now_ms=END_MS - 15 * DAY_MS)
    for tries in range(expiry.TRIES_MAX):
        await reminder(database, lambda *_: False).remind(now_ms=END_MS - 15 * DAY_MS + (2**tries) * 1_000_000)
    states = Counter(r.state for r in await database.run(expiry.reminders, tenant_id="pnc", limit=100) if r.mark == 15)
    assert states == {"FAILED": 6, "SHOWN": 1}


async def test_a_contact_that_does_not_open_keeps_nobody_from_being_told(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    await database.run(
        lambda connection: connection.exec_driver_sql(
            "UPDATE contact_targets SET sealed = overlay(sealed PLACING 'x' FROM 30) WHERE target_id = 'con_0/1'"
        )
    )
    await reminder(database).remind(now_ms=END_MS - 30 * DAY_MS)
    assert sorted(path for path, _ in inbox.titles) == ["/a-sms", "/b-mail", "/b-sms", "/c-mail", "/c-sms"]


async def test_what_ended_long_ago_keeps_nothing_from_its_turn(
    database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "PLAN_MAX", 2)
    await database.run(fill, inbox)

    def add_keys(connection: Any) -> None:
        identity.enrol(connection, tenant_id="pnc", principal_id="core", roles=("VIEWER",), by="zhang")
        for number, days in enumerate((-400, -300, -200, -100, 10, 12, 14)):
            identity.add_key(
                connection, key_digest=bytes([number]) * 32, key_id=f"key_{number}", tenant_id="pnc", principal="core",
                roles=None, expire_ms=END_MS - 30 * DAY_MS + days * DAY_MS,
            )  # fmt: skip

    await database.run(add_keys)
    await reminder(database, lambda *_: True).remind(now_ms=END_MS - 30 * DAY_MS)
    told = {r.object_id for r in await database.run(expiry.reminders, tenant_id="pnc", limit=100)}
    assert told == {"key_4", "key_5", "key_6", "ACCOUNT/pnc_one/2"}


async def test_a_message_that_found_no_way_free_is_sent_later(
    database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.run(fill, inbox)
    held = threading.Event()
    with monkeypatch.context() as patience:
        patience.setattr(reminders, "SEND_S", 0.2)
        await reminder(database, lambda *_: held.wait(5)).remind(now_ms=END_MS - 30 * DAY_MS)
    held.set()
    states = Counter(r.state for r in await database.run(expiry.reminders, tenant_id="pnc", limit=100))
    assert states == {"SHOWN": 1, "SENDING": reminders.THREADS, "DUE": 6 - reminders.THREADS}
    await reminder(database).remind(now_ms=END_MS - 30 * DAY_MS + expiry.RETRY_S * 1000)
    assert len(inbox.titles) == 6 - reminders.THREADS


def test_mail_goes_to_no_server_inside_unless_that_is_allowed_and_nobody_is_sent_elsewhere(inbox: Inbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.2)
        mail = f"mailto://someone:word@example.com:{inside.getsockname()[1]}?smtp=127.0.0.1"
        assert not reminders.send(mail, "title", "body", allow_private=False)
        with pytest.raises(TimeoutError):
            inside.accept()
    inbox.refuses = True
    assert not send(inbox.url("moved"), "title", "body") and not inbox.titles


async def test_another_certificate_of_a_channel_is_told_to_its_tenants_once(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    seen = {"channel_id": "one", "not_after_ms": END_MS, "now_ms": END_MS - 90 * DAY_MS}
    for fingerprint, changed in (("aa", False), ("aa", False), ("bb", True), ("bb", False), ("aa", False)):
        assert await database.run(expiry.note_peer, fingerprint=fingerprint, **seen) is changed
    await reminder(database).remind(now_ms=END_MS - 90 * DAY_MS)
    assert len(inbox.titles) == 6 and "another TLS certificate" in inbox.titles[0][1]
    assert [r.object_id for r in await database.run(expiry.reminders, tenant_id="life", limit=9)] == ["one/bb"]


async def test_a_word_that_is_in_no_table_is_told_to_the_channels_tenants_once_a_day(database: Database, inbox: Inbox) -> None:
    await database.run(fill, inbox)
    for days, words in ((0, ["PURPLE"]), (0, ["PURPLE", "RED"]), (1, ["PURPLE"])):
        await database.run(expiry.tell_of_words, channel_id="one", words=words, now_ms=END_MS + days * DAY_MS)
    shown = [(r.object_kind, r.object_id, r.mark) for r in await database.run(expiry.reminders, tenant_id="life", limit=9)]
    today = END_MS // DAY_MS
    assert sorted(shown) == [("UNKNOWN_WORD", f"one/{word}", day) for word, day in (("PURPLE", today), ("PURPLE", today + 1), ("RED", today))]
    await reminder(database).remind(now_ms=END_MS + DAY_MS)
    assert max(Counter(inbox.titles).values()) == 2


def serve_tls(directory: Path, name: str) -> tuple[Any, int]:
    """Open a TLS server that shows a certificate of that name."""
    (directory / "key").write_text(private_pem())
    (directory / "certificate").write_text(certificate_pem(END_MS, name=name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate", directory / "key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.server_address[1]


async def test_a_channel_that_shows_another_certificate_is_noticed(database: Database, inbox: Inbox, tmp_path: Path) -> None:
    await database.run(fill, inbox)
    watcher = reminder(database)
    for name, changed in (("first", []), ("second", ["one"])):
        server, port = serve_tls(tmp_path, name)
        settings = {"base_url": f"https://127.0.0.1:{port}"}
        channel = {"channel_id": "one", "display_name": "one", "kind": "sandbox", "settings": settings}
        await database.run(desk_store.install, {"channels": [channel]})
        assert await watcher.look_at_peers(now_ms=END_MS - 90 * DAY_MS) == changed
        assert await watcher.look_at_peers(now_ms=END_MS - 90 * DAY_MS) == []
        server.shutdown()
        server.server_close()
    assert await watcher.look_at_peers(now_ms=END_MS) == [], "a channel that is away is the connector's business"
