"""Settings of the subscriber and of the drift monitor."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.settings import StageSettings, api_url, kafka_bootstrap_servers, local_port, target_database_url


class Settings(StageSettings):
    """Variables `DASHBOARD_STREAM_…`."""

    model_config = SettingsConfigDict(env_prefix="DASHBOARD_STREAM_")

    kafka_bootstrap_servers: str = Field(default_factory=kafka_bootstrap_servers)
    """Broker that the rows are read from, HOST:PORT, several separated by commas."""
    target_database_url: str = Field(default_factory=target_database_url)
    """Database that the predictions are written to."""
    api_url: str = Field(default_factory=api_url)
    """Prediction API."""
    api_timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for the answer to one batch; a cold API on a busy machine takes several seconds."""
    batch_rows: int = Field(default=256, ge=1, le=256)
    """Most rows in one request to the API, which accepts 256; of a slow one fewer are asked at once."""
    kept_embeddings: int = Field(default=20_000, ge=0)
    """Rows whose embedding is kept for training, judging and the drift monitor, 2.8 kB each; 0 = none."""
    session_timeout_s: float = Field(default=10.0, ge=1)
    """How long the partitions of a killed subscriber stay with it; the broker sets the least, 6 unless configured."""
    health_host: str = "127.0.0.1"
    """Address that /livez, /readyz and /metrics are served on."""
    health_port: int = Field(default_factory=lambda: local_port(9103))
    """Port that /livez, /readyz and /metrics are served on."""
    heartbeat_file: Path | None = None
    """Touched at each turn of the loop, for checks without HTTP; empty = none."""
    drift_window: int = Field(default=75, ge=20, le=1000)
    """Predictions of one model version that the drift monitor looks at together. A longer window notices later."""
    drift_check_every: int = Field(default=5, ge=1)
    """Predictions from one check to the next."""
    drift_poll_s: float = Field(default=0.5, gt=0)
    """Pause of the drift monitor when there is no new prediction."""
    drift_health_port: int = Field(default_factory=lambda: local_port(9105))
    """Port of the drift monitor's /livez, /readyz and /metrics."""
