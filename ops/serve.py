"""`paydesk serve`: everything on this machine, until it is told to end."""

import os
import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path

import structlog

from actors import logs
from ops import address, wires
from ops.deployment import Deployment, development_keys
from ops.settings import Settings
from storage import desk as desk_store

log = structlog.get_logger()

DEFAULT_DATA_DIR = Path(".paydesk")
_REQUEST = (
    '{"order_no": "A-1001", "product_code": "TRAVEL_ACC", "amount": {"amount_minor": 1800, "currency_code": "CNY"}}'
)
_TENANT = "pnc"

SNIPPET = """\
import json, pathlib, grpc
from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc
key = json.loads(pathlib.Path({keys_file!r}).read_text())[{tenant!r}]
payments = payments_pb2_grpc.PaymentsStub(grpc.insecure_channel({target!r}))
print(payments.CreatePayment(payments_pb2.CreatePaymentRequest(
    request_id="first-try", order_no="A-1002", product_code={product!r}, subject="Travel, 7 days",
    amount=common_pb2.Money(amount_minor=1800, currency_code="CNY"),
), metadata=[("authorization", f"Bearer {{key}}")], timeout=20))
"""


def serve(settings: Settings) -> None:
    """Start, say how to call it, and run until SIGTERM or Ctrl-C; then drain. Raise CannotStart."""
    logs.set_up(settings.log_level, role="watcher", process=str(os.getpid()))
    embedded = not settings.database_url
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    deployment = Deployment(settings)
    try:
        deployment.start()
        address.note(deployment)
        _log_database(settings, embedded=embedded)
        print(banner(deployment, embedded=embedded), flush=True)
        deployment.run(over.is_set)
        print("ending: calls under way are answered first", flush=True)
    finally:
        address.forget(settings)
        deployment.stop()


def _log_database(settings: Settings, *, embedded: bool) -> None:
    if embedded:
        log.info("database", kind="embedded PostgreSQL", directory=str(settings.directory() / "postgres"), fsync=True,
                 authentication="password over a Unix socket", meant_for="one machine, development")  # fmt: skip
    else:
        log.info("database", kind="PostgreSQL of your own (PAYDESK_DATABASE_URL)")


def banner(deployment: Deployment, *, embedded: bool) -> str:
    """Say where it listens and how to call it. Development keys are made for the embedded database only."""
    settings = deployment.settings
    lines = [f"Paydesk serves gRPC at {deployment.target}, callbacks, /metrics and /readyz at {settings.public_url}"]
    if wired := deployment.transact(lambda connection: wires.wanted(desk_store.load(connection))):
        kinds = ", ".join(sorted({account.kind for account in wired}))
        lines.append(f"The simulated wires of {kinds} are at {wires.url(settings.simulator_http_port)}")
    lines += _database_lines(settings) if embedded else ["Database: your own PostgreSQL (PAYDESK_DATABASE_URL)."]
    if not embedded:
        lines.append(
            "Make an API key with `paydesk keys add TENANT PRINCIPAL`, and call with `paydesk call … --key KEY`."
        )
        return "\n".join(lines)
    keys = development_keys(deployment)
    keys_file = settings.directory() / "development-keys.json"
    for key in list(keys.values())[:1]:
        address.wait_for_key(deployment.local_target, key)
    tenant = _TENANT if _TENANT in keys else min(keys, default="")
    command = command_name()
    prefix = (
        ""
        if settings.directory() == DEFAULT_DATA_DIR.resolve()
        else f"PAYDESK_DATA_DIR={shlex.quote(str(settings.directory()))} "
    )
    lines += [
        f"Keys: {keys_file}, one for each tenant: {', '.join(sorted(keys))}.",
        f"Logs: {settings.directory() / 'logs'}. Ctrl-C ends it; what is open goes on at the next start.",
        "",
        "Pay an order, and read what happened:",
        f"  {prefix}{command} call Payments/CreatePayment '{_REQUEST}' --tenant {tenant}",
        f"  {prefix}{command} call Payments/ListPayments --tenant {tenant}",
        "",
        f"The same from Python ({sys.executable}):",
        "",
        SNIPPET.format(keys_file=str(keys_file), tenant=tenant, target=deployment.local_target, product="TRAVEL_ACC"),
    ]
    return "\n".join(lines)


def command_name() -> str:
    """Return how this command is called: by its name where the shell finds it, else by its path."""
    here = Path(sys.argv[0]).resolve()
    found = shutil.which("paydesk")
    return "paydesk" if found and Path(found).resolve() == here else shlex.quote(str(here))


def _database_lines(settings: Settings) -> list[str]:
    lines = [
        f"Database: embedded PostgreSQL in {settings.directory() / 'postgres'}, with fsync, behind a password on a Unix socket.",
        "  It is for one machine and for development; PAYDESK_DATABASE_URL names a server of your own.",
    ]
    if os.geteuid() == 0:
        lines.append(
            "  You are root: it runs as the OS user pgserver, and the folders above its data directory are "
            "opened for all users to pass through."
        )
    return lines
