"""Whether there is a broker at all, asked before a Kafka client is made."""

import socket

from common.waiting import Unavailable


class BrokerUnavailable(Unavailable):
    """No broker answers now; the same work may succeed later."""

    part = "broker"


def reachable_servers(bootstrap_servers: str) -> list[str]:
    """`bootstrap_servers` as a list. Raises `BrokerUnavailable` when none accepts a connection.

    A Kafka client whose constructor times out leaves its thread and sockets behind, so look first.
    """
    servers = [server.strip() for server in bootstrap_servers.split(",")]
    if not any(map(_listens, servers)):
        raise BrokerUnavailable(f"no broker listens at {bootstrap_servers}")
    return servers


def _listens(server: str) -> bool:
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True
