"""Certificates of the server: read from files, and read again when the files change, without a restart.

With an authority for clients, a client must show a certificate of that authority; whom it speaks for is a binding that is
stored, see `servers/identity.py`.
"""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import structlog
from cryptography import x509

log = structlog.get_logger()

RELOAD_S = 5.0


class Files(NamedTuple):
    """The server's certificate with its chain, its key, and the authority of clients (None asks for no certificate)."""

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def stamp(self) -> tuple[int, ...]:
        """Return what differs when a file has been replaced."""
        return tuple(path.stat().st_mtime_ns for path in self if path is not None)

    def check(self) -> None:
        """Raise ValueError or OSError when they can't be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if self.client_authority is not None:
            context.load_verify_locations(self.client_authority)

    def days_left(self) -> float:
        """Return how many days are left until the certificate ends; 0 when it can't be read just now."""
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            return 0.0
        return round((certificate.not_valid_after_utc.timestamp() - time.time()) / 86_400, 1)


def server_credentials(files: Files) -> grpc.ServerCredentials:
    """Return credentials that look at the files at every handshake."""
    seen = files.stamp()

    def newest() -> Any:
        nonlocal seen
        try:
            if (stamp := files.stamp()) == seen:
                return None
            files.check()
            fresh = _configuration(files)
        except (OSError, ValueError) as error:  # half written, or wrong: what was read last goes on counting
            log.warning("certificates_not_read", error=str(error))
            return None
        seen = stamp
        log.info("certificates_read_again", certificate=str(files.certificate))
        return fresh

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files), newest, require_client_authentication=files.client_authority is not None
    )


def _configuration(files: Files) -> Any:
    pair = files.key.read_bytes(), files.certificate.read_bytes()
    authority = files.client_authority.read_bytes() if files.client_authority is not None else None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)


async def keep_fresh(context: ssl.SSLContext, files: Files) -> None:
    """Have an HTTPS server's new connections use new files, for ever."""
    seen = files.stamp()
    while True:
        await asyncio.sleep(RELOAD_S)
        try:
            if (stamp := files.stamp()) != seen:
                files.check()
                context.load_cert_chain(files.certificate, files.key)
                seen = stamp
        except (OSError, ValueError) as error:
            log.warning("certificates_not_read", error=str(error))
