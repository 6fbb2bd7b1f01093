"""How counters reach the deployment's one /metrics: every process hands its samples over to the database, in one row.

prometheus-client counts in each process; every few seconds the process writes all its samples as one JSON document. The
page adds the processes up. What is worth money is not counted here but asked of the tables.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, text

from storage.database import Database

log = structlog.get_logger()

HAND_OVER_S = 5.0


def samples_of(registry: CollectorRegistry) -> list[dict[str, Any]]:
    """Return the families of a registry as data: name, kind, help, and the samples with their labels."""
    return [
        {
            "name": family.name,
            "kind": family.type,
            "help": family.documentation,
            "samples": [[s.name, s.labels, s.value] for s in family.samples if not s.name.endswith("_created")],
        }
        for family in registry.collect()
    ]


def store_samples(connection: Connection, process: str, samples: list[dict[str, Any]]) -> None:
    """Write one process's samples over its earlier ones."""
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(
        text(
            """INSERT INTO process_meters (process, samples) VALUES (:process, :samples)
               ON CONFLICT (process) DO UPDATE SET samples = excluded.samples, update_time = now()"""
        ),
        {"process": process, "samples": json.dumps(samples)},
    )


class Depths:
    """A collector of the depths of mailboxes, read when the samples are taken."""

    def __init__(self, registry: CollectorRegistry, role: str, depths: Callable[[], Mapping[str, int]]) -> None:
        self._role = role
        self._depths = depths
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge per mailbox."""
        family = GaugeMetricFamily("mailbox_depth", "Messages that wait", labels=["role", "mailbox"])
        for mailbox, depth in self._depths().items():
            family.add_metric([self._role, mailbox], depth)
        yield family


async def hand_over(registry: CollectorRegistry, database: Database, role: str) -> None:
    """Hand a registry's samples over for as long as the process lives; nothing is written while nothing changes."""
    process = f"{role}@{socket.gethostname()}:{os.getpid()}"[:96]
    last: list[dict[str, Any]] = []
    while True:
        await asyncio.sleep(HAND_OVER_S)
        samples = samples_of(registry)
        if samples == last:
            continue
        try:
            await database.run(store_samples, process, samples)
            last = samples
        except Exception as error:
            log.warning("meters_not_handed_over", error=str(error)[:200])
