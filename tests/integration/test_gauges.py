"""The /metrics page on a real database."""

from prometheus_client import CollectorRegistry, Gauge

from actors.meters import samples_of, store_samples
from servers import metrics
from storage import gauges
from storage.database import Database


async def test_every_question_is_answered_on_an_empty_database(emptied_database_url: str) -> None:
    database = Database(emptied_database_url, pool_size=1)
    read = await database.run(gauges.read)
    page = (await metrics.page(database)).decode()
    database.close()
    assert {gauge.name for gauge in read} <= set(gauges.QUESTIONS)
    assert "overdue_payments 0.0" in page
    assert f"# HELP notify_backlog {gauges.QUESTIONS['notify_backlog'].text}" in page


async def test_the_gauges_of_a_restarted_process_replace_those_of_its_predecessor(emptied_database_url: str) -> None:
    database = Database(emptied_database_url, pool_size=1)
    for process, score in (("connector@b:2", 30.0), ("connector@a:9", 90.0)):
        registry = CollectorRegistry()
        Gauge("channel_score", "Health", ["channel"], registry=registry).labels("bank").set(score)
        await database.run(store_samples, process, samples_of(registry))
    page = (await metrics.page(database)).decode()
    database.close()
    assert 'channel_score{channel="bank"} 90.0' in page
