"""The deployment's one /metrics page: the counters of all processes added up, and gauges asked of the tables."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection

from storage import gauges
from storage.database import Database


def _read_meters(connection: Connection) -> list[tuple[str, list[dict[str, Any]], bool]]:
    # The newest last: its gauges replace those of the process that was there before it.
    rows = connection.exec_driver_sql(
        "SELECT process, samples, now() - update_time < interval '1 hour' FROM process_meters ORDER BY update_time"
    )
    return [(row[0], row[1], row[2]) for row in rows]


class _Page:
    """A collector that has its metrics already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def add_up(documents: list[tuple[str, list[dict[str, Any]], bool]]) -> list[Metric]:
    """Add up what processes handed over. Counters of a process that is gone still count; its gauges do not."""
    families: dict[str, Metric] = {}
    values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for _, samples, alive in documents:
        for family in samples:
            if family["kind"] == "gauge" and not alive:
                continue
            families.setdefault(family["name"], Metric(family["name"], family["help"], family["kind"]))
            for name, labels, value in family["samples"]:
                key = (family["name"], name, tuple(sorted(labels.items())))
                values[key] = value if family["kind"] == "gauge" else values.get(key, 0.0) + value
    for (family_name, name, labels), value in values.items():
        families[family_name].add_sample(name, dict(labels), value)
    return list(families.values())


def from_tables(read: list[gauges.Gauge]) -> list[Metric]:
    """Turn the tables' figures into gauges."""
    families: dict[str, Metric] = {}
    for name, labels, value in read:
        families.setdefault(name, Metric(name, gauges.QUESTIONS[name].text, "gauge")).add_sample(name, labels, value)
    return list(families.values())


async def page(database: Database) -> bytes:
    """Return the page in Prometheus' text format."""
    metrics = add_up(await database.run(_read_meters)) + from_tables(await database.run(gauges.read))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(metrics))
    return generate_latest(registry)
