"""Sends one signed notice to one endpoint, and nowhere else.

An endpoint's URL comes from a tenant, so it is not trusted: it must be https on a usual port, its name is resolved anew
for every connection, every address must be a public one, and the connection goes to exactly the address that was
checked. Redirects are not followed, environment proxies are ignored, and of a reply no more than 64 KB is read.
"""

import asyncio
import datetime
import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import httpcore
import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from channels.lines import Lines
from domain.delivery import Reply

# A reply's body is only read so that the connection can be used again.
REPLY_BYTES_MAX = 64 * 1024
PORTS = frozenset({443, 8443})
# Connections that idle this long are closed: an endpoint's own keep-alive is rarely longer.
KEEPALIVE_S = 15
_USER_AGENT = b"Paydesk-Webhooks/1"

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


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections only to addresses that were checked: resolution and connection are one step."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve `host`, refuse it if any of its addresses is not allowed, and connect to the first that answers."""
        addresses = await self._resolve(host, port)
        for address in addresses[:-1]:
            try:
                return await self._plain.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._plain.connect_tcp(str(addresses[-1]), port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a webhook never goes to a socket of this machine."""
        raise Blocked("BLOCKED_ADDRESS")

    async def sleep(self, seconds: float) -> None:
        """Wait between connection attempts, as httpcore asks."""
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[Address]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name does not resolve") from error
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not addresses:
            raise httpcore.ConnectError("the name does not resolve")
        if not all(is_allowed(address, allow_private=self._allow_private) for address in addresses):
            raise Blocked("BLOCKED_ADDRESS")
        return addresses


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
        self._lines = Lines(
            idle_max=concurrency, keep_alive_s=KEEPALIVE_S, backend=PinnedBackend(allow_private=allow_private)
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

    async def _post(self, target: httpx.URL, headers: list[tuple[bytes, bytes]], payload: str) -> Reply:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._exchange(target, headers, payload.encode())
        except (TimeoutError, httpcore.TimeoutException):
            return Reply(0, "TIMEOUT")
        except Blocked as error:
            return Reply(0, error.reason)
        except httpcore.ConnectError as error:
            return Reply(0, "TLS_FAILED" if "SSL" in str(error).upper() else "CONNECT_FAILED")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Reply(0, f"BROKEN: {type(error).__name__}")

    async def _exchange(self, target: httpx.URL, headers: list[tuple[bytes, bytes]], body: bytes) -> Reply:
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path or b"/"
        )
        host = (b"host", target.netloc)
        length = (b"content-length", str(len(body)).encode())
        request = httpcore.Request("POST", url, headers=[host, length, *headers], content=body)
        async with self._lines.exchange(request) as response:
            retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            read_bytes = 0
            async for part in response.aiter_stream():
                read_bytes += len(part)
                if read_bytes > REPLY_BYTES_MAX:
                    break  # leaving closes the connection
            return Reply(response.status, retry_after=retry_after.decode("latin-1")[:64])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._lines.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def signed_headers(*, secrets: Sequence[str], event_id: str, payload: str, now_ms: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of Standard Webhooks, with one signature per secret.

    Raise ValueError or EmptyWebhookSecretError for a secret that is none.
    """
    if not secrets:
        raise ValueError("an endpoint needs a secret")
    moment = datetime.datetime.fromtimestamp(now_ms // 1000, tz=datetime.UTC)
    signatures = " ".join(Webhook(secret).sign(event_id, moment, payload) for secret in secrets)
    return [
        (b"content-type", b"application/json"),
        (b"user-agent", _USER_AGENT),
        (b"webhook-id", event_id.encode()),
        (b"webhook-timestamp", str(now_ms // 1000).encode()),
        (b"webhook-signature", signatures.encode()),
    ]
