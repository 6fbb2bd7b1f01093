"""The reminder: tells people in time that something ends, and that a channel shows another certificate."""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client import CollectorRegistry, Counter

from storage import desk as desk_store
from storage import expiry as store
from storage.database import Database, DatabaseUnavailable
from storage.vault import Vault

log = structlog.get_logger()

# Whoever is told days ahead does not mind a minute.
ROUND_S = 60.0
# A message that takes longer is let go: nobody knows whether it arrived.
SEND_S = 30.0
# Channels change certificates a few times a year.
PEERS_EVERY_MS = 3_600_000
PEER_TIMEOUT_S = 5.0
THREADS = 4


class Reminder:
    """Plans, sends and records messages. Any number may run: a message is one row, and whoever takes it sends it.

    Holds nothing that must survive. The row is written before anything is sent; what a dying sender had taken is not
    sent again, because it may have arrived.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        send: Callable[[str, str, str], bool],
        registry: CollectorRegistry,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._vault = vault
        self._send = send
        self._clock_ms = clock_ms
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reminder")
        self._peers_due_ms = 0
        self._task: asyncio.Task[None] | None = None
        self._sent = Counter("reminders", "Messages by what became of them", ["result"], registry=registry)
        self._changes = Counter(
            "peer_certificate_changes", "Channels that showed another certificate", ["channel"], registry=registry
        )

    def start(self) -> None:
        """Go round for ever."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns. Raise RuntimeError when the rounds have ended, to be replaced."""
        if self._task is None or self._task.done():
            raise RuntimeError("the reminder has stopped")
        return {"running": True}

    async def _run(self) -> None:
        while True:
            try:
                now_ms = self._clock_ms()
                await self.remind(now_ms=now_ms)
                if now_ms >= self._peers_due_ms:
                    self._peers_due_ms = now_ms + PEERS_EVERY_MS
                    await self.look_at_peers(now_ms=now_ms)
            except DatabaseUnavailable as error:
                log.warning("reminder_waits_for_database", error=str(error))
            except Exception:
                log.exception("reminding_failed")  # the next round may go well, and nobody else does this work
            await asyncio.sleep(ROUND_S)

    async def remind(self, *, now_ms: int) -> int:
        """Write down who must be told what by now, tell them, and return how many messages were sent."""
        await self._database.run(store.plan, now_ms=now_ms)
        count = 0
        while outgoing := await self._database.run(store.claim, self._vault, now_ms=now_ms):
            results = await asyncio.gather(*map(self._deliver, outgoing))
            for message, result in zip(outgoing, results, strict=True):
                self._sent.labels(result).inc()
                if result != "UNSURE":
                    await self._database.run(
                        store.record, reminder_id=message.reminder_id, sent=result == "SENT", now_ms=now_ms
                    )
                count += result == "SENT"
        return count

    async def _deliver(self, message: store.Outgoing) -> str:
        sending = self._threads.submit(self._send, message.url, message.title, message.body)
        try:
            return "SENT" if await asyncio.wait_for(asyncio.wrap_future(sending), SEND_S) else "FAILED"
        except TimeoutError:
            return "FAILED" if sending.cancelled() else "UNSURE"  # who waited for a thread until now has sent nothing
        except Exception as error:  # whatever a library for fifty services raises, it was not sent
            log.warning("reminder_not_sent", reminder_id=message.reminder_id, error=type(error).__name__)
            return "FAILED"

    async def look_at_peers(self, *, now_ms: int) -> list[str]:
        """Look at the certificate of every channel that is reached by https; return the channels that show another one."""
        desk = await self._database.run(desk_store.load)
        loop = asyncio.get_running_loop()
        changed = []
        for channel_id, host, port in sorted(peers_of(desk.channels)):
            try:
                seen = loop.run_in_executor(self._threads, peer_certificate, host, port)
                fingerprint, not_after_ms = await asyncio.wait_for(seen, 2 * PEER_TIMEOUT_S)
            except (OSError, ValueError) as error:  # the channel's health is the connector's business
                log.info("peer_not_seen", channel_id=channel_id, error=type(error).__name__)
                continue
            if await self._database.run(
                store.note_peer, channel_id=channel_id, fingerprint=fingerprint, not_after_ms=not_after_ms, now_ms=now_ms
            ):
                log.warning("peer_certificate_changed", channel_id=channel_id, fingerprint=fingerprint)
                self._changes.labels(channel_id).inc()
                changed.append(channel_id)
        return changed


def peers_of(channels: Mapping[str, desk_store.ChannelRow]) -> list[tuple[str, str, int]]:
    """Return (channel_id, host, port) of the channels whose settings name an https base URL."""
    found = []
    for channel_id, row in channels.items():
        url = urlsplit(str(row.settings.get("base_url", "")))
        if url.scheme == "https" and url.hostname:
            found.append((channel_id, url.hostname, url.port or 443))
    return found


def peer_certificate(host: str, port: int) -> tuple[str, int]:
    """Return fingerprint and end (Unix milliseconds) of what a server shows. Raise OSError or ValueError.

    Whether it can be trusted is decided where payments are sent; here it is only looked at.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), PEER_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True) or b""
    certificate = x509.load_der_x509_certificate(shown)
    return certificate.fingerprint(hashes.SHA256()).hex(), int(certificate.not_valid_after_utc.timestamp()) * 1000


def send(url: str, title: str, body: str, *, allow_private: bool) -> bool:
    """Send a message by whatever way its URL names: mail, SMS, WeCom, DingTalk; tell whether it was taken.

    A server of mail is the one host that a tenant names: without `allow_private` only one in the internet is spoken to.
    """
    import apprise  # 20 MB that nobody needs who sends nothing

    way = apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(http_redirects=False)) if url else None
    if way is None or not _may_reach(getattr(way, "smtp_host", None) or "", allow_private=allow_private):
        return False
    return bool(way.notify(title=title, body=body))


def _may_reach(host: str, *, allow_private: bool) -> bool:
    from actors.webhooks import is_allowed

    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    return all(is_allowed(ipaddress.ip_address(entry[4][0]), allow_private=allow_private) for entry in found)
