"""Turns a batch into stored outcomes, however often the API, the database or the broker is away meanwhile."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from common.broker_address import BrokerUnavailable
from common.health.state import Health
from common.rows import CargoRow
from common.waiting import Unavailable, retry_until_stopped
from dashboard_stream import metrics
from dashboard_stream.clients.cancellable_calls import unless_stopped
from dashboard_stream.clients.prediction_api import Answer, ApiUnavailable, Refusal, TemporaryFailure
from dashboard_stream.subscriber.batches import Batch
from dashboard_stream.subscriber.messages import Partition, SourcePosition
from dashboard_stream.subscriber.outcomes import DeadLetter, Outcomes, Prediction, SamePicture
from dashboard_stream.subscriber.prediction_store import RowsRefused

T = TypeVar("T")

log = logging.getLogger(__name__)


class Api(Protocol):
    """See `PredictionApi`."""

    def predict(self, rows: Sequence[CargoRow]) -> list[Answer | Refusal | TemporaryFailure]:
        """One result a row, in order. Raises `ApiUnavailable`."""


class Store(Protocol):
    """See `PredictionStore`."""

    def filter_known(self, rows: Sequence[tuple[CargoRow, SourcePosition | None]]) -> set[int]:
        """Ids of those that need no model. Raises `DatabaseUnavailable`."""

    def filter_new(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those letters that are to be recorded. Raises `DatabaseUnavailable`."""

    def write(self, outcomes: Outcomes) -> set[int]:
        """One transaction; the ids whose prediction is new. Raises `DatabaseUnavailable`, `RowsRefused`."""


class DeadLetterProducer(Protocol):
    """See `DeadLetterTopic`."""

    def produce(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has them. Raises `BrokerUnavailable`."""


class PausableConsumer(Protocol):
    """See `TopicReader`."""

    def pause_for(self, seconds: float, first: dict[Partition, int], following: dict[Partition, int]) -> set[Partition]:
        """Wait without reading on; the partitions that are still ours. Raises `BrokerUnavailable`."""


class Processor:
    """`process` returns once every message of the batch that is still ours has its outcome in the database."""

    def __init__(
        self,
        api: Api,
        store: Store,
        letters: DeadLetterProducer,
        place: PausableConsumer,
        health: Health,
        stop: threading.Event,
    ) -> None:
        self._api, self._store, self._letters, self._consumer = api, store, letters, place
        self._health, self._stop = health, stop

    def process(self, batch: Batch) -> None:
        """Predict and store. Messages of partitions that were taken away meanwhile are dropped from the batch.

        Raises `Stopped`. Nothing is committed to Kafka here: that is the caller's next step.
        """
        metrics.BATCH_ROWS.observe(len(batch))
        while len(batch):
            self._until_done(lambda: self._recognise(batch), batch)
            self._until_done(lambda: self._predict(batch), batch)
            try:
                self._until_done(lambda: self._record(batch), batch)
                return
            except RowsRefused as refused:
                for item in batch.items:
                    if item.row and item.row.id in refused.reasons:
                        item.refuse("refused by the database", refused.reasons[item.row.id])

    def _recognise(self, batch: Batch) -> None:
        """Delivered again, or only labelled: such rows do not go through the model."""
        pending = batch.pending()
        known = self._store.filter_known([(row, item.message.position()) for item, row in pending])
        for item, row in pending:
            if row.id in known:
                item.outcome = SamePicture(row, item.message.position())

    def _predict(self, batch: Batch) -> None:
        pending = batch.pending()
        if not pending:
            return
        rows = [row for _, row in pending]
        answers = self._unless_stopped(lambda: self._api.predict(rows))
        predicted_at = datetime.now(UTC)
        postponed = ""
        for (item, row), answer in zip(pending, answers, strict=True):
            if isinstance(answer, Answer):
                item.outcome = Prediction(
                    row, **dict(answer), predicted_at=predicted_at, position=item.message.position()
                )
            elif isinstance(answer, Refusal):
                item.refuse("refused by the API", answer.reason)
            else:
                postponed = answer.reason
        if postponed:
            raise ApiUnavailable(postponed)
        self._health.mark_available("api")

    def _record(self, batch: Batch) -> None:
        if not len(batch):
            return
        outcomes = batch.outcomes()
        letters = self._store.filter_new(outcomes.dead_letters)
        # First the topic, then the database: a letter that the database knows is never produced again.
        self._unless_stopped(lambda: self._letters.produce(letters))
        new = self._store.write(outcomes._replace(dead_letters=letters))
        self._health.mark_available("database")
        committed_at = datetime.now(UTC)
        for prediction in outcomes.predictions:
            if prediction.row.id in new:
                metrics.PREDICTIONS.labels(prediction.class_name).inc()
                metrics.observe_latency(prediction.row.timestamp, committed_at)
        metrics.SAME_PICTURES.inc(len(outcomes.same_pictures))
        metrics.DELETIONS.inc(len(outcomes.deletions))
        for letter in letters:
            metrics.DEAD_LETTERS.labels(letter.kind).inc()
            log.warning("dead letter: %s, row %s: %s", letter.message.place(), letter.id, letter.reason)

    def _until_done(self, work: Callable[[], None], batch: Batch) -> None:
        """Repeat `work` until nothing that it needs is away; meanwhile the batch loses what is no longer ours."""

        def attempt() -> None:
            try:
                work()
            except Unavailable as away:
                metrics.WAITS.labels(away.part).inc()
                raise

        def pause_for(seconds: float) -> None:
            try:
                batch.keep(self._consumer.pause_for(seconds, batch.first_offsets(), batch.next_offsets()))
            except BrokerUnavailable:
                # The consumer had to be given up, and with it the place behind this batch.
                batch.keep(set())

        retry_until_stopped(attempt, self._health, self._stop, pause_for)

    def _unless_stopped(self, work: Callable[[], T]) -> T:
        return unless_stopped(work, self._stop, self._health.beat)
