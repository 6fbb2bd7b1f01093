"""What Ray must find in the environment before it is imported: a slim profile, and a token that keeps others out."""

import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from storage import private_files

# Starts in 2-3 s and idles at 2 % of a core. The memory monitor is off because it would kill actors when the machine
# is full of somebody else's memory; the kernel's own rules are enough, and a killed actor is an ordinary restart.
SLIM_PROFILE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    # Idle workers wake a hundred times a second; without statistics of it they cost a tenth less.
    "RAY_event_stats": "0",
    # What Ray looks at so often for the sake of resources, objects and autoscaling, of which we have none: with its own
    # periods of a tenth of a second, its own processes idle at 0.7 % of a core, with these at 0.4 %.
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    "RAY_raylet_check_gc_period_milliseconds": "5000",
    "RAY_object_manager_timer_freq_ms": "5000",
    "RAY_kill_idle_workers_interval_ms": "5000",
    "RAY_local_fs_monitor_interval_ms": "10000",
    "RAY_report_worker_backlog_interval_ms": "10000",
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",
    "RAY_io_context_monitor_probe_interval_ms": "60000",
    "RAY_io_context_event_loop_lag_collection_interval_ms": "60000",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    # Actors are the system here, not batch work: Ray would let them yield to everything else on the machine.
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


# Ray itself appends some sixty characters, and we the folder below a private one that it may open.
PATH_LENGTH_MAX = 38
RAY_FOLDER = "r"

# Ray binds to the machine's outward address even when it is told 127.0.0.1, except where clusters are not supported;
# this says that they are not, and every port of Ray's is then on loopback.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def ray_directory(directory: Path) -> Path:
    """Return where a Ray of the data directory `directory` keeps its files.

    Ray puts Unix sockets there, whose paths may have 107 bytes at most, so a deep data directory gets a place of its
    own among the temporary files. Whoever removes the data directory removes that too.
    """
    path = directory / "ray"
    if len(str(path)) <= PATH_LENGTH_MAX:
        return path
    name = hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"paydesk-ray-{name}"


def make_private(path: Path) -> None:
    """Make a folder for us alone. Raise PermissionError for one that somebody else has put in its place."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to somebody else: remove it")
    path.chmod(0o700)


def prepare(directory: Path, *, loopback: bool = True) -> None:
    """Set what is not set already; `loopback` is for a Ray of our own on one machine.

    The token is made at first use, in a file of `directory` that only we can read.
    """
    for name, value in (SLIM_PROFILE | (LOOPBACK_ONLY if loopback else {})).items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" in os.environ:
        return
    path = directory / "ray.token"
    private_files.made_once(path, lambda: secrets.token_hex(32).encode())
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
