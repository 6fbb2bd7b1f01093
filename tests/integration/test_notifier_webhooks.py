"""The webhook sender: signatures that the reference library verifies, and a guard that holds at connect time."""

import asyncio
import ipaddress
import socket
import time
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from actors.webhooks import REPLY_BYTES_MAX, Blocked, WebhookSender, check_url, is_allowed
from domain.delivery import Reply
from tests.integration.endpoint import Endpoint
from tests.integration.outbox import SECRET

OLD_SECRET = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQ="


async def send(url: str, *, secrets: tuple[str, ...] = (SECRET,), allow_private: bool = True, **options: Any) -> Reply:
    async with WebhookSender(allow_private, **options) as sender:
        return await sender.send(
            url=url, secrets=secrets, event_id="evt_1_2", payload='{"保单":1}', now_ms=time.time_ns() // 1_000_000
        )


@pytest.mark.asyncio
async def test_the_reference_library_verifies_our_signatures_during_a_rotation_too() -> None:
    async with Endpoint() as endpoint:
        assert await send(endpoint.url, secrets=(SECRET, OLD_SECRET)) == Reply(200)
    (post,) = endpoint.posts
    assert post.headers["webhook-id"] == "evt_1_2"
    assert post.headers["content-type"] == "application/json"
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(post.body, post.headers) == {"保单": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(post.body + b" ", post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==").verify(post.body, post.headers)


@pytest.mark.asyncio
async def test_redirects_are_not_followed() -> None:
    async with Endpoint() as elsewhere, Endpoint(lambda post: (302, {"location": elsewhere.url})) as endpoint:
        assert await send(endpoint.url) == Reply(302)
        assert elsewhere.posts == []


@pytest.mark.asyncio
async def test_retry_after_is_handed_over() -> None:
    async with Endpoint(lambda post: (429, {"Retry-After": "60"})) as endpoint:
        assert await send(endpoint.url) == Reply(429, retry_after="60")


@pytest.mark.asyncio
async def test_an_endpoint_that_hangs_times_out_as_a_whole() -> None:
    async with Endpoint(lambda post: None) as endpoint:
        start = time.monotonic()
        assert await send(endpoint.url, timeout_s=0.2) == Reply(0, "TIMEOUT")
        assert time.monotonic() - start < 10


@pytest.mark.asyncio
async def test_a_long_reply_is_not_read_to_its_end() -> None:
    async with Endpoint(body=b"x" * (REPLY_BYTES_MAX * 40)) as endpoint:
        assert await send(endpoint.url) == Reply(200)


@pytest.mark.asyncio
async def test_a_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with Endpoint() as endpoint:
        assert (await send(endpoint.url)).status == 200


@pytest.mark.parametrize("secrets", [(), ("",), ("whsec_",), ("whsec_ü",)])
@pytest.mark.asyncio
async def test_a_bad_secret_is_an_error_and_sends_nothing(secrets: tuple[str, ...]) -> None:
    async with Endpoint() as endpoint:
        assert await send(endpoint.url, secrets=secrets) == Reply(0, "BAD_SECRET")
        assert endpoint.posts == []


@pytest.mark.asyncio
async def test_nobody_listening_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await send(f"http://127.0.0.1:{port}/") == Reply(0, "CONNECT_FAILED")


@pytest.mark.asyncio
async def test_plain_text_where_tls_is_expected_is_an_error() -> None:
    async with Endpoint() as endpoint:
        reply = await send(f"https://127.0.0.1:{endpoint.port}/", timeout_s=2)
        assert reply.status == 0 and reply.error


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://127.0.0.1/",
        "https://8.8.8.8/",
        "https://[::1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://10.0.0.0x1/",
        "https:///n",
        "/n",
        "not a url",
        "https://exa mple.com/",
        "https://example.com:99999/",
    ],
)
def test_urls_that_are_not_allowed(url: str) -> None:
    with pytest.raises(Blocked, match="BLOCKED_URL"):
        check_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://example.com/", "https://example.com:8443/n?x=1", "https://支付.example/n"])
def test_urls_that_are_allowed(url: str) -> None:
    assert check_url(url, allow_private=False).raw_host.isascii()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192", "168.63.129.16",
        "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1",
        "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "ff02::1", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_the_internet(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "203.107.1.1", "2606:4700:4700::1111", "2400:3200::1"])
def test_public_addresses(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("127.0.0.1", True), ("::1", True), ("192.168.1.1", True), ("169.254.169.254", False), ("fe80::1", False),
     ("::ffff:169.254.169.254", False), ("0.0.0.0", False)],
)  # fmt: skip
def test_a_laptop_may_reach_itself_but_no_metadata(address: str, *, allowed: bool) -> None:
    assert is_allowed(ipaddress.ip_address(address), allow_private=True) is allowed


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fe80::1]/", "http://2130706433/", "http://010.0.0.1/"])
@pytest.mark.asyncio
async def test_an_address_in_place_of_a_name_is_checked_too(url: str) -> None:
    reply = await send(url, allow_private=True)
    assert reply.status == 0 and reply.error.startswith("BLOCKED")


class Names:
    """A name server that gives other addresses at every question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


def poison(monkeypatch: pytest.MonkeyPatch, names: Names) -> list[str]:
    """Let names be resolved by `names`, and return the list of addresses to which connections are made."""
    connected: list[str] = []

    async def connect(*, addr_infos: list[Any], **options: Any) -> Any:
        connected.extend(info[4][0] for info in addr_infos)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    monkeypatch.setattr("aiohappyeyeballs.start_connection", connect)
    return connected


@pytest.mark.parametrize("found", [["127.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"]])
@pytest.mark.asyncio
async def test_a_name_that_resolves_inside_is_blocked_at_connect(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    connected = poison(monkeypatch, Names(found))
    assert await send("https://attacker.example/", allow_private=False) == Reply(0, "BLOCKED_ADDRESS")
    assert connected == []


@pytest.mark.asyncio
async def test_a_name_that_is_rebound_after_the_first_delivery_is_blocked_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected = poison(monkeypatch, Names(["8.8.8.8"], ["127.0.0.1"]))
    async with WebhookSender(allow_private=False) as sender:
        wish: dict[str, Any] = {"url": "https://attacker.example/", "secrets": (SECRET,), "event_id": "e", "payload": "{}"}
        replies = [await sender.send(**wish, now_ms=0) for _ in range(2)]
    assert replies == [Reply(0, "CONNECT_FAILED"), Reply(0, "BLOCKED_ADDRESS")]
    assert connected == ["8.8.8.8"]  # the address that was checked, not the name


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve_is_an_error() -> None:
    assert await send("https://" + "a" * 70 + ".invalid/", allow_private=False) == Reply(0, "CONNECT_FAILED")
