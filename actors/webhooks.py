"""Sends one signed notice to one endpoint, and nowhere else.

An endpoint's URL comes from a tenant, so it is not trusted: it must be https on a usual port, its name is resolved anew
for every connection, every address must be a public one, and the connection goes to exactly the address that was
checked. Redirects are not followed, environment proxies are ignored, and of a reply no more than 64 KB is read.
"""

import asyncio
import datetime
import functools
import ipaddress
import re
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError
from yarl import URL

from channels.lines import Lines
from domain.delivery import Reply

# A reply's body is only read so that the connection can be used again.
REPLY_BYTES_MAX = 64 * 1024
PORTS = frozenset({443, 8443})
# Connections that idle this long are closed: an endpoint's own keep-alive is rarely longer.
KEEPALIVE_S = 15
_USER_AGENT = "Paydesk-Webhooks/1"

_HOST = re.compile(rb"[A-Za-z0-9._:-]+")
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by number and yet not the internet: cloud metadata, and IPv6 that carries an IPv4 address inside.
_NOT_THE_INTERNET = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "168.63.129.16/32", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


class Blocked(Exception):
    """The URL or the address behind it is not one we send to; `reason` is a constant such as BLOCKED_ADDRESS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_url(url: str, *, allow_private: bool) -> httpx.URL:
    """Return the parsed URL. Raise Blocked for a scheme, port, user info or host that is not allowed."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Blocked("BLOCKED_URL: not a URL") from error
    if parsed.userinfo:
        raise Blocked("BLOCKED_URL: user info")
    if not _HOST.fullmatch(parsed.raw_host):
        raise Blocked("BLOCKED_URL: host")
    if allow_private:
        if parsed.scheme not in ("http", "https"):
            raise Blocked("BLOCKED_URL: neither http nor https")
        if _is_numeric(parsed.raw_host.decode()):
            _check_address(parsed.raw_host.decode())
        return parsed
    if parsed.scheme != "https":
        raise Blocked("BLOCKED_URL: not https")
    if (parsed.port or 443) not in PORTS:
        raise Blocked("BLOCKED_URL: port")
    if _is_numeric(parsed.host):
        raise Blocked("BLOCKED_URL: an address instead of a name")
    return parsed


def _is_numeric(host: str) -> bool:
    """Tell whether a host is an address, in any of the ways that resolvers read: 127.0.0.1, 2130706433, 0x7f.1, [::1]."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return ":" in host or last.isdigit() or last.startswith("0x")


def _check_address(host: str) -> None:
    """Raise Blocked for an address that is not allowed even at home: what is no name is never resolved."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise Blocked("BLOCKED_URL: host") from error
    if not is_allowed(address, allow_private=True):
        raise Blocked("BLOCKED_ADDRESS")


def is_allowed(address: Address, *, allow_private: bool) -> bool:
    """Tell whether we connect to an address. Link-local ones, where clouds keep their metadata, never."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return allow_private and is_allowed(address.ipv4_mapped, allow_private=True)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address.version == network.version and address in network for network in _NOT_THE_INTERNET):
        return False
    if allow_private:
        return address.is_global or address.is_private or address.is_loopback
    return address.is_global and not address.is_reserved and (address.version == 4 or address in _IPV6_UNICAST)


class GuardedResolver(AbstractResolver):
    """Finds addresses to connect to, and only such as are allowed: what was checked is what is connected to."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name, and refuse it if any of its addresses is not allowed. Raise OSError for one that has none."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError("the name is none") from error
        if not found:
            raise OSError("the name does not resolve")
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not all(is_allowed(address, allow_private=self._allow_private) for address in addresses):
            raise Blocked("BLOCKED_ADDRESS")
        return [
            ResolveResult(hostname=host, host=str(address), port=port, family=entry[0], proto=entry[2],
                          flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
            for entry, address in zip(found, addresses, strict=True)
        ]  # fmt: skip

    async def close(self) -> None:
        """Hold nothing that would have to be closed."""


class WebhookSender:
    """Posts notices. Never raises for what the outside world does: every outcome is a Reply.

    At most `concurrency` posts run at a time; `per_endpoint` is for the caller, who knows which notices belong together.
    `timeout_s` bounds a post as a whole, from the look-up of the name to the last byte read.
    """

    def __init__(
        self, allow_private: bool, timeout_s: float = 15, concurrency: int = 32, per_endpoint: int = 8
    ) -> None:
        self.timeout_s = timeout_s
        self.concurrency = concurrency
        self.per_endpoint = per_endpoint
        self._allow_private = allow_private
        self._places = asyncio.Semaphore(concurrency)

    @functools.cached_property
    def _lines(self) -> Lines:
        """They are opened in the loop that uses them."""
        resolver = GuardedResolver(allow_private=self._allow_private)
        return Lines(
            idle_max=self.concurrency, keep_alive_s=KEEPALIVE_S, connect_s=self.timeout_s, resolver=resolver
        )

    async def send(self, *, url: str, secrets: Sequence[str], event_id: str, payload: str, now_ms: int) -> Reply:
        """Post a notice signed with every secret (two while one is being replaced), and return what came back."""
        try:
            target = check_url(url, allow_private=self._allow_private)
            headers = signed_headers(secrets=secrets, event_id=event_id, payload=payload, now_ms=now_ms)
        except Blocked as error:
            return Reply(0, error.reason)
        except (ValueError, EmptyWebhookSecretError):
            return Reply(0, "BAD_SECRET")
        async with self._places:
            return await self._post(target, headers, payload)

    async def _post(self, target: httpx.URL, headers: dict[str, str], payload: str) -> Reply:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._exchange(target, headers, payload.encode())
        except TimeoutError:
            return Reply(0, "TIMEOUT")
        except Blocked as error:
            return Reply(0, error.reason)
        except aiohttp.ClientSSLError:
            return Reply(0, "TLS_FAILED")
        except aiohttp.ClientConnectorError:
            return Reply(0, "CONNECT_FAILED")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(0, f"BROKEN: {type(error).__name__}")

    async def _exchange(self, target: httpx.URL, headers: dict[str, str], body: bytes) -> Reply:
        where = target.netloc.decode()
        url = URL(f"{target.scheme}://{where}{target.raw_path.decode() or '/'}", encoded=True)
        async with await self._lines.send("POST", url, {"host": where, **headers}, body) as answer:
            retry_after = next((value for name, value in answer.raw_headers if name.lower() == b"retry-after"), b"")
            read_bytes = 0
            async for part in answer.content.iter_any():
                read_bytes += len(part)
                if read_bytes > REPLY_BYTES_MAX:
                    break  # leaving closes the connection
            return Reply(answer.status, retry_after=retry_after.decode("latin-1")[:64])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._lines.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def signed_headers(*, secrets: Sequence[str], event_id: str, payload: str, now_ms: int) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with one signature per secret.

    Raise ValueError or EmptyWebhookSecretError for a secret that is none.
    """
    if not secrets:
        raise ValueError("an endpoint needs a secret")
    moment = datetime.datetime.fromtimestamp(now_ms // 1000, tz=datetime.UTC)
    signatures = " ".join(Webhook(secret).sign(event_id, moment, payload) for secret in secrets)
    return {
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": signatures,
    }
