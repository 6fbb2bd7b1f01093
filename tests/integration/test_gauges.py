"""The /metrics page on a real database."""

from prometheus_client import CollectorRegistry, Gauge

from actors.meters import samples_of, store_samples
from servers import metrics
from storage import audit, gauges
from storage.database import Database


async def test_every_question_is_answered_and_what_a_shell_did_is_told(emptied_database_url: str) -> None:
    database = Database(emptied_database_url, pool_size=1)
    acts = [audit.Entry("pnc", "root@shell", "paydesk keys add", "api_key", "key_1", address=address) for address in ("shell", "ipv4:x")]
    await database.run(audit.append, acts)
    read = await database.run(gauges.read)
    assert [gauge.value for gauge in read if gauge.name == "shell_acts_recent"] == [1]
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
