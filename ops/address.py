"""Where a deployment listens, noted in its data directory, so that the other commands find it without being told."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ops.dialing import HEALTH_SERVICE, dial
from ops.mistakes import CannotStart
from ops.settings import Settings
from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc

if TYPE_CHECKING:  # starting one takes a second of imports, calling one does not
    from ops.deployment import Deployment

_FILE = "address.json"
_HEALTH_TIMEOUT_S = 2.0
# Gateways read the keys again within a second.
KEY_WAIT_S = 15.0


class Address(NamedTuple):
    """A running deployment. `keys` maps each tenant to a development key, empty where there are none."""

    target: str
    http_url: str
    keys: dict[str, str]


def note(deployment: "Deployment") -> None:
    """Write down where a deployment listens."""
    settings = deployment.settings
    document = {
        "target": deployment.local_target,
        "http_url": f"{settings.http_scheme()}://{settings.host}:{settings.http_port}",
        "pid": os.getpid(),
    }
    (settings.directory() / _FILE).write_text(json.dumps(document))


def pid(settings: Settings) -> int:
    """Return the first process of a deployment on this machine, 0 where it is not known."""
    return int(_read(settings.data_dir.expanduser() / _FILE).get("pid", 0))


def forget(settings: Settings) -> None:
    """Take the note away, if it is this process's own."""
    path = settings.data_dir.expanduser() / _FILE
    if _read(path).get("pid") == os.getpid():
        path.unlink(missing_ok=True)


def find(settings: Settings, *, target: str = "") -> Address | None:
    """Return where the deployment of these settings (or the one at `target`) serves, None if it does not."""
    directory = settings.data_dir.expanduser().resolve()
    noted = _read(directory / _FILE)
    target = target or noted.get("target") or f"{settings.host}:{settings.grpc_port}"
    if not _is_serving(target):
        return None
    http_url = noted.get("http_url") or f"http://{settings.host}:{settings.http_port}"
    return Address(target, http_url, _read(directory / "development-keys.json"))


def require(settings: Settings, *, target: str = "") -> Address:
    """Return where it serves, or raise CannotStart with what to do."""
    found = find(settings, target=target)
    if found is None:
        where = target or _read(settings.data_dir.expanduser() / _FILE).get("target")
        where = where or f"{settings.host}:{settings.grpc_port}"
        raise CannotStart(
            f"nothing serves at {where}: start it with `paydesk serve`, or name another place with --target or PAYDESK_GRPC_PORT"
        )
    return found


def key_for(address: Address, *, tenant: str, key: str = "") -> str:
    """Return the key to call with: the given one, or the development key of the tenant."""
    key = key or os.environ.get("PAYDESK_KEY", "")
    if key:
        return key
    if not address.keys:
        raise CannotStart("there are no development keys here: give one with --key or PAYDESK_KEY (`paydesk keys add`)")
    tenant = tenant or min(address.keys)
    if tenant not in address.keys:
        raise CannotStart(
            f"there is no development key of tenant {tenant!r}; there are {', '.join(sorted(address.keys))}"
        )
    return address.keys[tenant]


def wait_for_key(target: str, key: str) -> None:
    """Wait until the gateways know a key that has just been made. Raise CannotStart if they never do."""
    give_up_s = time.monotonic() + KEY_WAIT_S
    with dial(target) as channel:
        stub = payments_pb2_grpc.PaymentsStub(channel)
        while time.monotonic() < give_up_s:
            try:
                request = payments_pb2.ListPaymentsRequest(page_size=1)
                stub.ListPayments(request, metadata=(("authorization", f"Bearer {key}"),), timeout=KEY_WAIT_S)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                time.sleep(0.1)
            else:
                return
    raise CannotStart("the gateways do not know the development keys")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}


def _is_serving(target: str) -> bool:
    with dial(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=HEALTH_SERVICE), timeout=_HEALTH_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
