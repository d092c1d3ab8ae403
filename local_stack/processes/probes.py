"""Short questions to running services; each answers within about two seconds and never raises."""

import httpx
import psycopg2
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from common.broker_address import BrokerUnavailable, reachable_servers


def http_answers(url: str) -> bool:
    """Whether `url` answers 200."""
    try:
        return httpx.get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def kafka_answers(bootstrap_servers: str) -> bool:
    """Whether a broker takes requests."""
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=reachable_servers(bootstrap_servers), request_timeout_ms=2000, bootstrap_timeout_ms=2000
        )
        admin.close()
    except (BrokerUnavailable, KafkaError):
        return False
    return True


def database_answers(url: str) -> bool:
    """Whether a session can be opened."""
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True
