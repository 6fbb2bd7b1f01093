"""How each actor is built from what it is told: the one place where the real parts are put together.

Every blueprint is an async function that runs inside the actor's own process. Its arguments are plain values, since an
actor that is started again must be able to build itself anew.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection

from actors import meters
from actors.directory import Directory
from actors.lookout import REST_S, Lookout
from domain.expiry import unreliable_from_ms
from domain.refusals import Refused, Violation, invalid
from storage import credentials as credential_store
from storage import desk as desk_store
from storage import expiry as expiry_store
from storage.changes import Changes
from storage.credentials import with_credentials
from storage.database import Database, DatabaseUnavailable
from storage.master_keys import MasterKeys
from storage.vault import Vault

# What only one kind of actor needs is imported where it is built: a process that does without keeps 10 to 20 MB.
if TYPE_CHECKING:
    from actors.connector import Connector
    from actors.directory import SimulatorTransport
    from actors.notifier import Notifier
    from actors.reminder import Reminder
    from actors.router import Router
    from actors.sealer import Sealer
    from actors.sweeper import Sweeper
    from domain.credentials import Learned
    from domain.health import HealthSnapshot
    from simulator.wire.server import Wires
    from simulator.world import World

log = structlog.get_logger()

# Windows must be known before they end and keys before they are used, neither to the second.
DESK_POLL_S = 2.0

_forever: set[asyncio.Task[Any]] = set()
_told: dict[str, Changes] = {}
_lookouts: dict[str, Lookout] = {}


def clock_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _keep(work: Any) -> None:
    """Run something for as long as the process lives; asyncio itself keeps no reference to a task."""
    task = asyncio.get_running_loop().create_task(work)
    _forever.add(task)
    task.add_done_callback(_forever.discard)


def _changes(database: Database) -> Changes:
    """Return what tells all who live in this process of the desk's changes: one connection listens for them all."""
    url = str(database.engine.url)
    if url not in _told:
        _told[url] = Changes(database)
    return _told[url]


def _lookout(database_url: str) -> Lookout:
    """Return what looks for work for all errands of this process, on a connection that none of them holds up."""
    if database_url not in _lookouts:
        _lookouts[database_url] = Lookout(database_url)
        _keep(_lookouts[database_url].run())
    return _lookouts[database_url]


async def router(*, shard: int, database_url: str, notify_url: str, directory: Directory) -> "Router":
    """Build a router. Two batches of intents and two of outcomes may be in the database at once."""
    from actors.router import Router
    from storage import payments as payment_store

    database = Database(database_url, pool_size=4, prepare=payment_store.PREPARED)
    registry = CollectorRegistry()
    made = Router(
        shard=shard,
        database=database,
        connector=lambda channel_id, bulk: directory.charge_mailbox(channel_id, made.evidence, bulk=bulk),
        notify_url=notify_url,
        registry=registry,
    )
    await made.start(_changes(database).version)
    meters.Depths(registry, f"router-{shard}", directory.depths)
    _keep(meters.hand_over(registry, database, f"router-{shard}"))
    return made


async def connector(*, channel_id: str, database_url: str, directory: Directory, key_file: str) -> "Connector":
    """Build a connector from what the desk says of its channel."""
    from actors.connector import Connector, Limits
    from channels.registry import make_channel
    from domain.health import ChannelHealth, Health, HealthPolicy
    from storage import channels as channel_store

    database, vault = Database(database_url, pool_size=1), Vault(MasterKeys(Path(key_file)))
    registry = CollectorRegistry()
    desk = await database.run(_desk_with_credentials, vault)
    row, accounts = _of_channel(desk, channel_id)
    settings = row.settings
    transport = directory.simulator_transport()
    health = ChannelHealth(HealthPolicy(**settings.get("health", {})), now_ms=clock_ms(), channel_id=channel_id)
    forced = desk.forced.get(channel_id)
    if forced is not None and forced.state != Health.HEALTHY:
        health.force(Health(forced.state), forced.expire_ms, forced.reason, clock_ms())

    async def publish(snapshot: "HealthSnapshot") -> None:
        directory.publish_health(snapshot)

    async def note_change(snapshot: "HealthSnapshot") -> None:
        await database.run(channel_store.note_change, snapshot)

    async def keep_certificates(learned: Sequence["Learned"]) -> None:
        await database.run(credential_store.learn, vault, channel_id, learned, now_ms=clock_ms())

    async def tell_of_words(words: Sequence[str]) -> None:
        await database.run(expiry_store.tell_of_words, channel_id=channel_id, words=words, now_ms=clock_ms())

    made = Connector(
        channel_id=channel_id,
        channel=make_channel(row.kind, channel_id, settings, accounts, transport),
        health=health,
        limits=Limits(**settings.get("limits", {})),
        report=lambda tenant_id, bulk: directory.evidence_mailbox(tenant_id, bulk=bulk),
        publish=publish,
        note_change=note_change,
        keep_certificates=keep_certificates,
        tell_of_words=tell_of_words,
        probe_merchant_no=accounts[0].merchant_no if accounts else "",
        registry=registry,
    )
    made.credentials_end(_unreliable_ms(accounts))
    await made.start()
    _keep(_follow_desk(made, database, vault, desk, channel_id, transport))
    _keep(meters.hand_over(registry, database, f"connector-{channel_id}"))
    return made


def _desk_with_credentials(connection: Connection, vault: Vault) -> desk_store.Desk:
    return with_credentials(connection, desk_store.load(connection), vault)


def _of_channel(desk: desk_store.Desk, channel_id: str) -> tuple[desk_store.ChannelRow, list[desk_store.AccountRow]]:
    return desk.channels[channel_id], [account for account in desk.accounts if account.channel_id == channel_id]


def _unreliable_ms(accounts: list[desk_store.AccountRow]) -> int:
    """Return when the first account's credentials begin their last day; routing spares that account, people see why."""
    return min((unreliable_from_ms(account.ends_ms) for account in accounts if account.ends_ms), default=0)


async def _follow_desk(
    made: "Connector",
    database: Database,
    vault: Vault,
    desk: desk_store.Desk,
    channel_id: str,
    transport: "SimulatorTransport",
) -> None:
    """Tell a connector of windows and of the hands that are laid on its channel, wherever that was done.

    When settings, accounts or credentials change, it gets a channel made anew.
    """
    from channels.registry import make_channel

    seen, used, forced = -1, _of_channel(desk, channel_id), desk.forced.get(channel_id)
    while True:
        try:
            if await _changes(database).version() != seen:
                desk = await database.run(_desk_with_credentials, vault)
                seen = desk.version
                await made.windows(desk.closing(channel_id))
                if forced != (forced := desk.forced.get(channel_id)) and forced is not None:
                    await made.force(forced.state, forced.expire_ms, forced.reason)
                if used != (used := _of_channel(desk, channel_id)):
                    row, accounts = used
                    made.credentials_end(_unreliable_ms(accounts))
                    await made.speak_through(make_channel(row.kind, channel_id, row.settings, accounts, transport))
        except DatabaseUnavailable as error:
            log.warning("desk_not_read", channel_id=channel_id, error=str(error))
        except Exception:
            log.exception("channel_not_renewed", channel_id=channel_id)  # what was made last stays in use
        await asyncio.sleep(DESK_POLL_S)


async def sweeper(*, database_url: str, directory: Directory) -> "Sweeper":
    """Build a sweeper; it has swept once when this returns."""
    from actors.sweeper import Sweeper

    database = Database(database_url, pool_size=1)
    registry = CollectorRegistry()
    made = Sweeper(database=database, connector=directory.connector_mailbox, clock_ms=clock_ms, registry=registry)
    await made.start()
    _lookout(database_url).watch("questions", made.rest.end)
    meters.Depths(registry, "sweeper", directory.depths)
    _keep(meters.hand_over(registry, database, "sweeper"))
    return made


async def sealer(*, database_url: str, data_dir: str, heads_file: str) -> "Sealer":
    """Build a sealer and set it going."""
    from actors.sealer import Sealer
    from storage.signed_heads import SignedHeads

    database = Database(database_url, pool_size=1)
    registry = CollectorRegistry()
    heads = SignedHeads(Path(data_dir), file=Path(heads_file) if heads_file else None)
    made = Sealer(database, heads, registry=registry)
    _keep(made.run())
    _lookout(database_url).watch("entries", made.rest.end)
    _keep(meters.hand_over(registry, database, "sealer"))
    return made


async def reminder(*, database_url: str, key_file: str, allow_private: bool) -> "Reminder":
    """Build a reminder and set it going."""
    from actors import reminder as reminders

    database = Database(database_url, pool_size=1)
    registry = CollectorRegistry()
    vault = Vault(MasterKeys(Path(key_file)))
    send = partial(reminders.send, allow_private=allow_private)
    made = reminders.Reminder(database, vault, send=send, registry=registry, clock_ms=clock_ms)
    made.start()
    _keep(meters.hand_over(registry, database, "reminder"))
    return made


async def notifier(*, database_url: str, allow_private: bool, schedule_factor: float, key_file: str) -> "Notifier":
    """Build a notifier and set it going."""
    from actors.notifier import Notifier
    from actors.webhooks import WebhookSender

    database = Database(database_url, pool_size=2)
    registry = CollectorRegistry()
    sender = WebhookSender(allow_private=allow_private)
    vault = Vault(MasterKeys(Path(key_file)))
    made = Notifier(database, sender, vault, schedule_factor=schedule_factor, rest_s=REST_S, registry=registry)
    _keep(made.run())
    _lookout(database_url).watch("notices", made.wake)
    _keep(meters.hand_over(registry, database, "notifier"))
    return made


class SimulatorHost:
    """The simulator as an actor: the world with its wires, and a ping."""

    def __init__(self, world: "World", wires: "Wires | None") -> None:
        self._world = world
        self._wires = wires  # which serve for as long as they are held

    def __getattr__(self, method: str) -> Any:
        from simulator.errors import BadControl

        work = getattr(self._world, method)

        async def call(*arguments: Any) -> Any:
            try:
                return await work(*arguments)
            except BadControl as error:
                raise Refused(invalid(Violation("request", str(error)))) from error

        return call

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns."""
        return {}


async def simulator(
    *, directory: str, seed: int, profiles: Sequence[dict[str, Any]], wired: Sequence[tuple[str, str, str]],
    address: tuple[str, int], database_url: str, key_file: str,
) -> SimulatorHost:  # fmt: skip
    """Build the simulator from its ledger on disk. It is told of new channels and secrets while it runs.

    `wired` are the accounts (kind, channel, merchant number) that are spoken to over their channel's own wire.
    """
    from simulator.profiles import Profile
    from simulator.world import World

    database, vault = Database(database_url, pool_size=1), Vault(MasterKeys(Path(key_file)))
    desk = await database.run(_desk_with_credentials, vault)
    wires = _wires(Path(directory), wired) if wired else None
    # Who has a wire of his own shares no secret with the sandbox's.
    merchants = {merchant_no: "" for _, _, merchant_no in wired}
    world = World(
        Path(directory), seed=seed, channels=[Profile(**item) for item in profiles], merchants=merchants,
        voices=wires.voices if wires else None,
    )  # fmt: skip
    world.learn(_shared_secrets(desk))
    await world.start()
    if wires is not None:
        from simulator.wire.server import bind

        host, port = address
        # The watcher holds the port for us, see `ops.deployment`.
        await wires.start(world, bind(host, port, shared=True), base_url=f"http://{host}:{port}")
    _keep(_follow_sandbox(world, database, vault, desk.version))
    return SimulatorHost(world, wires)


def _wires(directory: Path, wired: Sequence[tuple[str, str, str]]) -> "Wires":
    from simulator.wire.accounts import Wanted, open_accounts
    from simulator.wire.server import KINDS, Wires

    makers = {kind: made.make_keys for kind, made in KINDS.items()}
    return Wires(open_accounts(directory, [Wanted(*names) for names in wired], makers))


def _shared_secrets(desk: desk_store.Desk) -> dict[str, list[str]]:
    return {
        account.merchant_no: [version.values["secret"] for version in account.credentials]
        for account in desk.accounts
        if desk.channels[account.channel_id].kind == "sandbox" and account.credentials
    }


async def _follow_sandbox(world: "World", database: Database, vault: Vault, seen: int) -> None:
    from simulator.errors import BadControl
    from simulator.profiles import Profile

    while True:
        await asyncio.sleep(DESK_POLL_S)
        try:
            if await _changes(database).version() != seen:
                desk = await database.run(_desk_with_credentials, vault)
                seen = desk.version
                rows = [row for row in desk.channels.values() if row.kind == "sandbox"]
                world.meet([Profile(row.channel_id, **row.settings.get("profile", {})) for row in rows])
                world.learn(_shared_secrets(desk))
        except DatabaseUnavailable as error:
            log.warning("sandbox_not_read", error=str(error))
        except (BadControl, TypeError) as error:  # TypeError: an unknown field of a profile
            log.error("sandbox_profile_not_used", error=str(error))
