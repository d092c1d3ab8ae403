"""The base of every stage's settings: environment variables first, then `.env` at the repository's root."""

import os
from typing import Any
from urllib.parse import urlsplit

from pydantic import AnyUrl, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.paths import REPOSITORY

ENV_FILE = REPOSITORY / ".env"


class StageSettings(BaseSettings):
    """Subclass with `env_prefix`; build it in `main()`, never at import, so that tests can set the environment."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, extra="ignore", env_ignore_empty=True)

    def model_post_init(self, _: Any) -> None:
        """A proxy of the environment is for the rest of the world: this machine and the stages are asked directly."""
        addresses = [str(value) for value in dict(self).values() if isinstance(value, str | AnyUrl)]
        hosts = {urlsplit(address).hostname for address in addresses if "://" in address}
        _ask_directly({"localhost", "127.0.0.1", *filter(None, hosts)})


def _ask_directly(hosts: set[str]) -> None:
    # Some clients read the one, some the other.
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*known, *sorted(hosts - set(known))])


class PortSettings(StageSettings):
    """One number moves every local port, so that two stacks can run side by side."""

    model_config = SettingsConfigDict(env_prefix="CARGO_")

    # Above 32767 lie the ports that the system gives to clients at random: a service there may find its own taken.
    port_offset: int = Field(default=0, ge=0, le=23000)


def local_port(documented: int) -> int:
    """The port on 127.0.0.1 of the service documented on `documented`, moved by `CARGO_PORT_OFFSET`."""
    return documented + PortSettings().port_offset


def source_database_url() -> str:
    """Default address of the database that rows are inserted into."""
    return f"postgresql://myuser:mypassword@127.0.0.1:{local_port(5432)}/mydatabase"


def target_database_url() -> str:
    """Default address of the database that holds the replica and the predictions."""
    return f"postgresql://targetuser:targetpassword@127.0.0.1:{local_port(5433)}/targetdatabase"


def kafka_bootstrap_servers() -> str:
    """Default address of the broker."""
    return f"127.0.0.1:{local_port(9092)}"


def api_url() -> str:
    """Default address of the prediction API."""
    return f"http://127.0.0.1:{local_port(8000)}"


def mlflow_tracking_uri() -> str:
    """Default address of the model registry."""
    return f"http://127.0.0.1:{local_port(5001)}"
