"""The dead-letter topic: raw key and value, and headers that say where the message lay and what was wrong."""

from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from common.broker_address import BrokerUnavailable, reachable_servers
from common.names import DEAD_LETTER_TOPIC
from dashboard_stream.subscriber.outcomes import DeadLetter

ANSWER_S = 10.0


class DeadLetterTopic:
    """Produces dead letters; the producer is made at the first one."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: KafkaProducer | None = None

    def produce(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has stored all of them. Raises `BrokerUnavailable`; some may be stored then."""
        if not letters:
            return
        try:
            producer = self._ready_producer()
            answers = [_send(producer, letter) for letter in letters]
            for answer in answers:
                answer.get(timeout=ANSWER_S)
        except KafkaError as error:
            self.close()
            raise BrokerUnavailable(f"dead letters cannot be produced: {error}") from error

    def close(self) -> None:
        """Close the producer, if there is one."""
        if self._producer is not None:
            self._producer.close(timeout=2)
            self._producer = None

    def _ready_producer(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=reachable_servers(self._bootstrap_servers),
                client_id="data-subscriber-dead-letters",
                acks="all",
                reconnect_backoff_max_ms=1000,
                # A minute by default: as long a broker that is away would hold the batch in one call.
                max_block_ms=5000,
            )
        return self._producer


def _send(producer: KafkaProducer, letter: DeadLetter) -> Any:
    message = letter.message
    facts = {
        "reason": letter.reason,
        "topic": message.partition.topic,
        "partition": message.partition.number,
        "offset": message.offset,
    }
    headers = [(name, str(fact).encode()) for name, fact in facts.items()]
    # The client refuses a message that has neither.
    key = b"" if message.key is None and message.value is None else message.key
    try:
        return producer.send(DEAD_LETTER_TOPIC, message.value, key, headers)
    except MessageSizeTooLargeError:
        # It just fitted without these headers; they say where the value lies.
        return producer.send(DEAD_LETTER_TOPIC, None, key or b"", [*headers, ("value-left-out", b"too large")])
