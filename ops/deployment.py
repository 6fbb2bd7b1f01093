"""A deployment on one machine: PostgreSQL, the engine, the ingress and the gateways, started and kept alive.

The watcher holds no Ray and no money: it may be killed at any moment. Its children end with it, and the next
`paydesk serve` on the same data directory goes on where the database says.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import filelock
import grpc
import psycopg2
import sqlalchemy
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Connection

from domain.permissions import TENANT_ROLES
from ops import wires
from ops.dialing import HEALTH_SERVICE
from ops.mistakes import CannotStart
from ops.settings import LOOPBACK, Settings, pepper
from servers.identity import key_digest, key_fingerprint, new_key
from storage import credentials, identity, migrate, private_files
from storage import desk as desk_store
from storage.database import DatabaseUnavailable, make_engine, transact
from storage.embedded import EmbeddedPostgres
from storage.master_keys import MasterKeyMissing
from storage.vault import SealBroken

log = structlog.get_logger()

ROOT = Path(__file__).parent.parent
SANDBOX_DESK = Path(__file__).parent / "demo" / "desk.toml"
START_TIMEOUT_S = 120.0
# A child that ends at once is started again, but not in a spin.
RESTART_PAUSE_S = 0.5
RESTART_PAUSE_S_MAX = 10.0
# A child that has lived for so long had started well; whatever ended it, it is started again at once.
SETTLED_S = 20.0
# A database that was killed needs a moment for its remains to go and for its recovery.
DATABASE_PATIENCE_S = 60.0
WATCH_S = 0.2
_DATABASE_AWAY = (DatabaseUnavailable, sqlalchemy.exc.OperationalError, psycopg2.OperationalError)
# Who did what was done with a command on this machine rather than with a call.
SHELL = "shell"
_DEVELOPER = "developer"
# Larger than any log of a day; then the file starts again, with one predecessor kept.
LOG_BYTES_MAX = 64 << 20


@dataclass(slots=True)
class _Child:
    role: str
    index: int
    process: subprocess.Popen[bytes] | None = None
    pause_s: float = RESTART_PAUSE_S
    start_at_s: float = 0.0
    started_s: float = 0.0


@dataclass(slots=True)
class Deployment:
    """Starts everything, keeps it alive until `stop`."""

    settings: Settings
    restarts: list[tuple[float, str]] = field(default_factory=list)
    _postgres: EmbeddedPostgres | None = None
    _children: list[_Child] = field(default_factory=list)
    _lock: filelock.BaseFileLock | None = None
    _reserved: list[socket.socket] = field(default_factory=list)
    _database_ready: bool = False
    _stopping: bool = False

    def start(self) -> None:
        """Start everything and return when gRPC is SERVING. Raise CannotStart."""
        self._check()
        directory = self.settings.directory()
        self._lock = filelock.FileLock(directory / "paydesk.lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise CannotStart(
                f"{directory} is in use by another Paydesk: stop it, or set PAYDESK_DATA_DIR to another directory"
            ) from error
        try:
            self._choose_ports()
            self.settings.runtime_file().unlink(missing_ok=True)
            self._spawn_all()
            self._start_database()
            self._tell_of_database()
            self._wait_until_serving(time.monotonic() + START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def _wait_until_serving(self, deadline_s: float) -> None:
        while not self.is_serving():
            if time.monotonic() > deadline_s:
                logs = self.settings.directory() / "logs"
                raise CannotStart(f"not serving after {START_TIMEOUT_S:.0f} s; see the logs in {logs}")
            self.watch_once()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop everything, callers first."""
        if self._stopping:
            return
        self._stopping = True
        for role in ("gateway", "ingress", "engine"):
            self._end([child for child in self._children if child.role == role])
        if self._postgres is not None:
            self._postgres.stop()
        for reserved in self._reserved:
            reserved.close()
        if self._lock is not None:
            self._lock.release()

    def run(self, until: Callable[[], bool]) -> None:
        """Watch until told to end."""
        while not until():
            self.watch_once()
            time.sleep(WATCH_S)

    def watch_once(self) -> None:
        """Start again what has ended."""
        if self._stopping:
            return
        self._watch_database()
        now_s = time.monotonic()
        for child in self._children:
            ended = child.process is not None and child.process.poll() is not None
            if ended:
                self._note_end(child, now_s)
            if child.process is None and now_s >= child.start_at_s:
                self._spawn(child)

    def _note_end(self, child: _Child, now_s: float) -> None:
        assert child.process is not None
        log.warning("process_ended", role=child.role, code=child.process.returncode)
        self.restarts.append((time.time(), child.role))
        lived_long = now_s - child.started_s > SETTLED_S
        child.pause_s = RESTART_PAUSE_S if lived_long else min(child.pause_s * 2, RESTART_PAUSE_S_MAX)
        child.start_at_s = now_s + (0 if lived_long else child.pause_s)
        child.process = None
        if child.role == "engine":
            self.settings.runtime_file().unlink(missing_ok=True)
            if not self.settings.ray_address:
                self._end_drivers()

    def _end_drivers(self) -> None:
        """End what had joined the Ray that ended with its engine: it would notice too, but only after half a minute."""
        for child in self._children:
            if child.role != "engine" and child.process is not None:
                child.process.kill()
                child.process.wait()
                child.process, child.start_at_s = None, 0.0

    def is_serving(self, timeout_s: float = 1.0) -> bool:
        """Tell whether gRPC answers SERVING and all actors have answered."""
        if not self.settings.runtime_file().exists():
            return False
        with grpc.insecure_channel(self.local_target) as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = stub.Check(health_pb2.HealthCheckRequest(service=HEALTH_SERVICE), timeout=timeout_s)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    @property
    def target(self) -> str:
        """Where gRPC listens."""
        return f"{self.settings.host}:{self.settings.grpc_port}"

    @property
    def local_target(self) -> str:
        """Where this machine's own commands reach gRPC: past TLS, by a socket that only our user can open."""
        return f"unix:{self.settings.gateway_socket(0)}" if self.settings.tls() else self.target

    def processes(self) -> dict[str, int]:
        """Return the process ids of the children by name, and of PostgreSQL."""
        found = {f"{c.role}-{c.index}": c.process.pid for c in self._children if c.process is not None}
        postgres = self._postgres.process_id() if self._postgres else None
        return found | ({"postgres": postgres} if postgres else {})

    def transact(self, work: Callable[[Connection], Any]) -> Any:
        """Run something in the database."""
        engine = make_engine(self.settings.database_url, pool_size=1)
        try:
            return transact(engine, work)
        finally:
            engine.dispose()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        settings = self.settings
        if fault := settings.listening_fault():
            raise CannotStart(fault)
        if settings.desk_file is not None:
            read_desk(settings.desk_file)
        if settings.host not in LOOPBACK and not settings.database_url and not settings.allow_embedded_beyond_loopback:
            raise CannotStart(
                f"refusing to listen on {settings.host} with the embedded database, which is meant for one machine: set "
                "PAYDESK_DATABASE_URL, or PAYDESK_ALLOW_EMBEDDED_BEYOND_LOOPBACK=true if you know what that means"
            )

    def _choose_ports(self) -> None:
        """Fix the ports and keep them ours; one that is taken is an error.

        Until our servers listen, seconds pass in which Ray's processes take ports of their own, so each port stays bound
        (not listening) by a socket that lets only sockets of the same kind and user in beside it.
        """
        host = self.settings.host
        for name, where in (("grpc_port", host), ("http_port", host), ("simulator_http_port", wires.HOST)):
            port = getattr(self.settings, name)
            try:
                if port:
                    _bind(where, port, shared=False).close()
                reserved = _bind(where, port, shared=True)
            except OSError as error:
                raise CannotStart(
                    f"port {port} on {where} is taken: set PAYDESK_{name.upper()} to another, or to 0"
                ) from error
            self._reserved.append(reserved)
            setattr(self.settings, name, reserved.getsockname()[1])
        if not self.settings.public_url:
            self.settings.public_url = f"{self.settings.http_scheme()}://{self.settings.host}:{self.settings.http_port}"

    def _start_database(self) -> None:
        """Start the embedded server if that is wanted, migrate, and fill the desk.

        Patient with an embedded one: after a kill its last processes hold on to its memory, and then it recovers.
        """
        own = bool(self.settings.database_url)
        if not own:
            self._postgres = EmbeddedPostgres(self.settings.directory())
        deadline_s = time.monotonic() + (0 if own else DATABASE_PATIENCE_S)
        while True:
            try:
                if self._postgres is not None:
                    self.settings.database_url = self._postgres.start()
                self._prepare_database()
            except (MasterKeyMissing, SealBroken) as error:
                raise CannotStart(f"the secrets can't be opened: {error}") from error
            except (subprocess.SubprocessError, OSError, *_DATABASE_AWAY) as error:
                if time.monotonic() > deadline_s:
                    raise CannotStart(f"the database does not answer: {str(error).strip().splitlines()[0]}") from error
                time.sleep(RESTART_PAUSE_S)
            else:
                return

    def _prepare_database(self) -> None:
        engine = make_engine(self.settings.database_url, pool_size=1)
        try:
            migrate.upgrade(engine)
            transact(engine, self._set_up_desk)
            if self.settings.simulator:
                self._connect_wires(engine)
        finally:
            engine.dispose()

    def _set_up_desk(self, connection: Connection) -> None:
        """Fill an empty desk from the file, so that something works at once."""
        file, vault = self.settings.desk_file, self.settings.vault()
        credentials.adopt(connection, vault)
        if file is None and desk_store.load(connection).tenants:
            return
        credentials.install(connection, vault, read_desk(file or SANDBOX_DESK))

    def _connect_wires(self, engine: sqlalchemy.Engine) -> None:
        """Give the channels whose wires are simulated their address and keys, which outlive us with the sandbox's ledger."""
        desk = transact(engine, desk_store.load)
        accounts = wires.open_accounts(self.settings.simulator_directory(), desk)  # makes keys: not in a transaction
        if accounts:
            vault, port = self.settings.vault(), self.settings.simulator_http_port
            transact(engine, lambda connection: wires.connect(connection, vault, desk, accounts, port=port))

    def _watch_database(self) -> None:
        if self._postgres is None or self._postgres.process_id() is not None:
            return
        log.warning("postgres_ended")
        self.restarts.append((time.time(), "postgres"))
        try:
            self._postgres.start()
        except (subprocess.SubprocessError, OSError) as error:  # its remains are still going: again at the next look
            log.warning("postgres_not_started", error=str(error)[:500])

    def _spawn_all(self) -> None:
        self._children = [_Child("engine", 0), _Child("ingress", 0)]
        self._children += [_Child("gateway", index) for index in range(self.settings.gateways)]
        for child in self._children:
            self._spawn(child)

    def _tell_of_database(self) -> None:
        self._database_ready = True
        for child in self._children:
            self._tell(child)

    def _tell(self, child: _Child) -> None:
        """Tell a child where the database is, for which it waits; one that has just ended is told when it is started again."""
        assert child.process is not None and child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.process.stdin as ear:
            ear.write(f"{self.settings.database_url}\n".encode())

    def _spawn(self, child: _Child) -> None:
        """Start a child. It loads, and the engine starts Ray, until it is told of the database."""
        environment = {**os.environ, **self.settings.environment(), "PAYDESK_WATCHER_PID": str(os.getpid())}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        environment["PYTHONUNBUFFERED"] = "1"
        environment["PAYDESK_PROCESS_INDEX"] = str(child.index)
        with self._log_file(child.role) as output:
            child.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "ops.processes", child.role],
                env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
                cwd=self.settings.directory(),
            )  # fmt: skip
        if self._database_ready:
            self._tell(child)
        child.started_s = time.monotonic()

    def _log_file(self, role: str) -> IO[bytes]:
        directory = self.settings.directory() / "logs"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / f"{role}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _end(self, children: list[_Child]) -> None:
        running = [child.process for child in children if child.process is not None and child.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self.settings.drain_s + 5
        for process in running:
            try:
                process.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def read_desk(file: Path) -> dict[str, Any]:
    """Read a desk document. Raise CannotStart when it is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotStart(f"the desk file {file} can't be read: {error}") from error


def make_key(
    connection: Connection,
    directory: Path,
    *,
    tenant_id: str,
    principal: str,
    roles: frozenset[str] = TENANT_ROLES,
    expire_ms: int = 0,
) -> tuple[str, str]:
    """Make an API key of a principal that has these roles from now on; return (key_id, key). The key is shown once.

    It may do what these roles may; a key for every role may do whatever its principal may, now and later.
    """
    key, key_id = new_key(), f"key_{secrets.token_hex(6)}"
    identity.enrol(connection, tenant_id=tenant_id, principal_id=principal, roles=roles, by=SHELL)
    identity.add_key(
        connection, key_digest=key_digest(pepper(directory), key_fingerprint(key)), key_id=key_id, tenant_id=tenant_id,
        principal=principal, roles=None if roles == TENANT_ROLES else roles, expire_ms=expire_ms,
    )  # fmt: skip
    return key_id, key


def development_keys(deployment: Deployment) -> dict[str, str]:
    """Return a key per tenant for the embedded default, made at first use and kept in a file that only we can read.

    Its principal may do everything in the tenant, also what a newer version has roles for.
    """
    directory = deployment.settings.directory()
    path = directory / "development-keys.json"
    keys: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    tenants: Mapping[str, Any] = deployment.transact(desk_store.load).tenants
    for tenant_id in tenants:
        def make(connection: Connection, tenant_id: str = tenant_id) -> str:
            identity.enrol(
                connection, tenant_id=tenant_id, principal_id=_DEVELOPER, roles=TENANT_ROLES, by=SHELL
            )
            if tenant_id in keys:
                return keys[tenant_id]
            return make_key(connection, directory, tenant_id=tenant_id, principal=_DEVELOPER)[1]

        keys[tenant_id] = deployment.transact(make)
    private_files.replace(path, json.dumps(keys, indent=2).encode())
    return keys
