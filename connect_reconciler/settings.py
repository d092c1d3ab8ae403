"""Settings of the reconciler."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.paths import REPOSITORY, SECRETS
from common.settings import StageSettings, kafka_bootstrap_servers, local_port, source_database_url, target_database_url


class Settings(StageSettings):
    """Where Connect, the broker and the target database are, and how patient the reconciler is."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_RECONCILER_")

    connect_url: str = Field(default_factory=lambda: f"http://127.0.0.1:{local_port(8083)}")
    """Connect's REST interface."""

    kafka_bootstrap_servers: str = Field(default_factory=kafka_bootstrap_servers)
    """The broker, for the topics and for reading refused messages."""

    target_database_url: str = Field(default_factory=target_database_url)
    """The database that the sink connector writes to."""

    source_database_url: str = Field(default_factory=source_database_url)
    """The database that the source connector reads; asked how far its log is."""

    source_password_file: Path | None = None
    """Holds the password for it, where the address has none."""

    files: Path = REPOSITORY / "kafka"
    """Holds source_connector.json, sink_connector.json and target_roles.sql."""

    interval_s: float = Field(default=1.0, gt=0)
    """Pause between two looks at Connect."""

    restarts: int = Field(default=10, ge=1)
    """A connector is restarted at most this often within `restart_window_s`; then it is reported instead."""

    restart_window_s: float = Field(default=300.0, gt=0)
    """The window of that cap."""

    health_host: str = "127.0.0.1"
    """Address of /livez, /readyz and /metrics."""

    health_port: int = Field(default_factory=lambda: local_port(9102))
    """Port of the same."""

    password: SecretStr = SecretStr("reconcilerpassword")
    """Given to the reconciler's own role by `create_target_tables.py`, which runs as the database's owner."""

    writer_password: SecretStr = SecretStr("writerpassword")
    """The same for the subscriber."""

    monitor_password: SecretStr = SecretStr("monitorpassword")
    """The same for the drift monitor."""

    adapter_password: SecretStr = SecretStr("adapterpassword")
    """The same for the model adapter."""

    dashboard_password: SecretStr = SecretStr("dashboardreaderpassword")
    """The same for the role that dashboards read as."""

    sink_password_file: Path = SECRETS / "target-password"
    """Holds the same for the sink connector."""
