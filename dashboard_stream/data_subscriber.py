"""Predict every row that arrives on the topic, and store the prediction or the reason why there is none."""

import logging
import threading
import time

import typer

from common.cli import run
from common.health.server import serve_health
from common.health.state import Health, stop_event
from common.logs import configure_logging
from common.names import CONSUMER_GROUP, SOURCE_TOPIC
from common.waiting import Stopped, retry_until_stopped
from dashboard_stream.clients.prediction_api import PredictionApi
from dashboard_stream.clients.target_database import TargetDatabase
from dashboard_stream.settings import Settings
from dashboard_stream.subscriber.batch_processor import Processor
from dashboard_stream.subscriber.batch_size import BatchSize
from dashboard_stream.subscriber.batches import Batch
from dashboard_stream.subscriber.consumer_lag import LagReporter
from dashboard_stream.subscriber.dead_letter_topic import DeadLetterTopic
from dashboard_stream.subscriber.prediction_store import PredictionStore
from dashboard_stream.subscriber.topic_reader import TopicReader

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def subscribe(
    reader: TopicReader, processor: Processor, health: Health, stop: threading.Event, batch_rows: int
) -> None:
    """Read, process, commit, until told to stop: `Stopped`."""
    size = BatchSize(batch_rows)
    while True:
        messages = retry_until_stopped(lambda: reader.poll(size.rows), health, stop)
        standing_by = reader.stands_by()
        health.note("partitions", "standing by: other subscribers have every partition" if standing_by else None)
        if standing_by or reader.has_partitions():
            health.mark_available("partitions")
        else:
            health.mark_missing(
                "partitions", f"the group {CONSUMER_GROUP} has assigned no partition to this subscriber yet"
            )
        if messages:
            batch = Batch(messages)
            began_s = time.monotonic()
            processor.process(batch)
            size.took(len(messages), time.monotonic() - began_s)
            reader.commit(batch.next_offsets())


@app.command()
def main() -> None:
    """Consume the topic until told to stop."""
    configure_logging()
    settings = Settings()
    stop = stop_event()
    health = Health(settings.heartbeat_file)
    for part in ("database", "api", "broker", "partitions"):
        health.mark_missing(part, "not checked yet")
    lag = LagReporter(settings.kafka_bootstrap_servers, health, stop)
    serve_health(health, settings.health_host, settings.health_port, {"/stream": lag.stream})
    lag.start()

    database = TargetDatabase(settings.target_database_url)
    store = PredictionStore(database, settings.kept_embeddings)
    api = PredictionApi(settings.api_url, settings.api_timeout_s, with_embedding=settings.kept_embeddings > 0)
    letters = DeadLetterTopic(settings.kafka_bootstrap_servers)
    reader = TopicReader(settings.kafka_bootstrap_servers, settings.session_timeout_s, stop)
    try:
        for part, check in (("database", store.check), ("api", api.check)):
            retry_until_stopped(check, health, stop)
            health.mark_available(part)
        log.info("reading %s as %s", SOURCE_TOPIC, CONSUMER_GROUP)
        subscribe(reader, Processor(api, store, letters, reader, health, stop), health, stop, settings.batch_rows)
    except Stopped:
        log.info("stopped; what was in hand stays uncommitted and is read again")
    finally:
        reader.close()
        letters.close()
        database.close()


if __name__ == "__main__":
    run(app)
