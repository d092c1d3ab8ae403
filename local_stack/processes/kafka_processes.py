"""Kafka's broker and Connect's worker as Java processes, from the jars and settings in `kafka/`."""

import base64
import os
import subprocess
from pathlib import Path

from common.cli import UserError
from common.paths import REPOSITORY
from common.settings import kafka_bootstrap_servers, local_port
from common.waiting import STARTUP_TIMEOUT_S, wait_until
from local_stack.processes.java import JVM_FLAGS, find_java
from local_stack.processes.probes import kafka_answers
from local_stack.settings import Settings

KAFKA = REPOSITORY / "kafka"
JARS = KAFKA / "jars"


def prepare_broker(home: Path) -> list[str]:
    """Write the configuration, format the log folder on the first start, and return the command."""
    home.mkdir(parents=True, exist_ok=True)
    client, controller = local_port(9092), local_port(9093)
    properties = _configuration(
        KAFKA / "server.properties",
        home,
        {
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://localhost:{client}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(home / "data"),
        },
    )
    if not (home / "data" / "meta.properties").exists():
        # 16 random bytes as Kafka writes them; the fixed first one keeps the text from starting with a dash.
        cluster = base64.urlsafe_b64encode(b"\x04" + os.urandom(15)).decode().rstrip("=")
        format_log = _java("64m", home, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties))
        subprocess.run(format_log, check=True, cwd=home)
    return _java("256m", home, "kafka.Kafka", str(properties))


def prepare_connect(home: Path) -> tuple[list[str], dict[str, str]]:
    """Wait for the broker, write the worker's configuration, and return the command and its environment.

    The connectors' placeholders (`${env:CONNECT_SOURCE_HOST}` …) are filled from that environment by the worker.
    """
    home.mkdir(parents=True, exist_ok=True)
    bootstrap = kafka_bootstrap_servers()
    wait_until(lambda: kafka_answers(bootstrap), f"broker on {bootstrap}", STARTUP_TIMEOUT_S)
    properties = _configuration(
        KAFKA / "connect-distributed.properties",
        home,
        {
            "bootstrap.servers": bootstrap,
            "listeners": f"http://127.0.0.1:{local_port(8083)}",
            "rest.advertised.host.name": "127.0.0.1",
            "rest.advertised.port": str(local_port(8083)),
            "plugin.path": str(JARS / "plugins"),
        },
    )
    environment = {
        "CONNECT_SOURCE_HOST": "127.0.0.1",
        "CONNECT_SOURCE_PORT": str(local_port(5432)),
        "CONNECT_SOURCE_DATABASE": "mydatabase",
        "CONNECT_SOURCE_USER": "myuser",
        "CONNECT_SOURCE_PASSWORD": "mypassword",
        "CONNECT_TARGET_HOST": "127.0.0.1",
        "CONNECT_TARGET_PORT": str(local_port(5433)),
        "CONNECT_TARGET_DATABASE": "targetdatabase",
        "CONNECT_TARGET_USER": "targetuser",
        "CONNECT_TARGET_PASSWORD": "targetpassword",
    }
    return _java("256m", home, "org.apache.kafka.connect.cli.ConnectDistributed", str(properties)), environment


def _configuration(common: Path, home: Path, addresses: dict[str, str]) -> Path:
    """`common` with this stack's addresses below it, written to `home`."""
    lines = "".join(f"{name}={value}\n" for name, value in addresses.items())
    written = home / common.name
    written.write_text(f"{common.read_text()}\n# Addresses of the local stack\n{lines}")
    return written


def _java(heap: str, home: Path, main_class: str, *arguments: str) -> list[str]:
    if not (JARS / "kafka").is_dir():
        raise UserError("Kafka's jars are not there. Run: make jars")
    logging_file = f"-Dlog4j2.configurationFile={KAFKA / 'log4j2.properties'}"
    class_path = str(JARS / "kafka" / "*")
    return [
        find_java(Settings().java_home),
        f"-Xmx{heap}",
        *JVM_FLAGS,
        logging_file,
        f"-Dkafka.logs.dir={home}",
        "-cp",
        class_path,
        main_class,
        *arguments,
    ]
