"""How the commands reach gRPC: in the clear on this machine, or with the authority and certificate that `paydesk` was given."""

from pathlib import Path
from typing import NamedTuple

import grpc

# By name: any gRPC server of Ray's says SERVING when it is not asked for whom.
HEALTH_SERVICE = "paydesk.v1.Payments"


class _Trust(NamedTuple):
    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


_trust = _Trust()


def use(*, authority: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Have all later connections use TLS if any of these is given."""
    global _trust  # noqa: PLW0603 - one command, one way to connect
    _trust = _Trust(*(path.read_bytes() if path else None for path in (authority, certificate, key)))


def credentials(target: str) -> grpc.ChannelCredentials | None:
    """Return what a connection to a target needs, None where it needs nothing."""
    if target.startswith("unix:") or _trust == _Trust():
        return None
    return grpc.ssl_channel_credentials(_trust.authority, _trust.key, _trust.certificate)


def dial(target: str) -> grpc.Channel:
    """Return a connection to a target."""
    trusted = credentials(target)
    return grpc.secure_channel(target, trusted) if trusted else grpc.insecure_channel(target)


def dial_aio(target: str, options: list[tuple[str, int]] | None = None) -> grpc.aio.Channel:
    """Return a connection to a target for coroutines."""
    trusted = credentials(target)
    if trusted:
        return grpc.aio.secure_channel(target, trusted, options=options)
    return grpc.aio.insecure_channel(target, options=options)
