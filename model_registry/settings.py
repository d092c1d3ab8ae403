"""Settings of the model registry: its server, and the training that fills it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from common.paths import CACHE, IMAGE_ROOT
from common.settings import StageSettings, local_port, mlflow_tracking_uri, source_database_url, target_database_url
from common.waiting import STARTUP_TIMEOUT_S

DRIVER = "postgresql+psycopg2"

DEFAULT_STRATEGY = "balanced_margin"
"""What rehearses when nobody chose: the best mean of both days in docs/strategies.md, by less than is proven."""

DEFAULT_BUDGET = 0.2
"""Share of monday's training rows; training on all of them is hardly better there."""


def _default_backend_store() -> str:
    return f"{DRIVER}://mlflow:mlflowpassword@127.0.0.1:{local_port(5433)}/mlflow"


class Settings(StageSettings):
    """Where things are, and what a model must reach."""

    model_config = SettingsConfigDict(env_prefix="MODEL_REGISTRY_")

    tracking_uri: str = Field(default_factory=mlflow_tracking_uri)
    """Address of the MLflow server, for training and loading."""

    source_database_url: str = Field(default_factory=source_database_url)
    """Database whose table `cargo` names the training images and their classes."""

    target_database_url: str = Field(default_factory=target_database_url)
    """Database with the alarms, the labelled predictions and the table `adaptation`."""

    image_root: Path = IMAGE_ROOT
    """Folder that holds `monday/CLASS/FILE` and, where there is one, `tuesday/CLASS/FILE`."""

    embedding_cache: Path = CACHE / "embeddings.sqlite"
    """SQLite file that keeps embeddings by image content; it may be deleted at any time."""

    group_pattern: str | None = None
    """Regular expression: images whose file names share what its groups capture stay on one side of the split."""

    minimum_accuracy: float = Field(default=0.8, ge=0, le=1)
    """Held-out accuracy below which a version never becomes the champion by itself."""

    wait_timeout_s: float = Field(default=STARTUP_TIMEOUT_S, gt=0)
    """How long to wait for the database, its rows, the object store and the MLflow server, in seconds each."""

    code_commit: str | None = None
    """Commit of the code, which a training run notes; by default the one that git tells, where there is a checkout."""

    backend_store_uri: str = Field(default_factory=_default_backend_store)
    """Database of the MLflow server, as postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE."""

    s3_endpoint_url: str = Field(default_factory=lambda: f"http://127.0.0.1:{local_port(9000)}")
    """Object store that keeps the artifacts; only the MLflow server talks to it."""

    s3_access_key: str = "cargo-access-key"
    """Access key of the object store."""

    s3_secret_key: SecretStr = SecretStr("cargo-secret-key")
    """Secret key of the object store."""

    s3_bucket: str = Field(default="mlflow", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bucket of the artifacts; it is made when missing."""

    host: str = "127.0.0.1"
    """Address on which the MLflow server listens."""

    port: int = Field(default_factory=lambda: local_port(5001), ge=1, le=65535)
    """Port on which the MLflow server listens."""

    allowed_hosts: str = "mlflow-server:*,localhost:*,127.0.0.1:*"
    """Host headers that the MLflow server accepts, separated by commas; others get 403, except on /health."""

    health_host: str = "127.0.0.1"
    """Address of /livez, /readyz and /metrics of `first_champion.py`."""

    health_port: int = Field(default_factory=lambda: local_port(9104), ge=1, le=65535)
    """Port of the same."""

    adapter_health_port: int = Field(default_factory=lambda: local_port(9106), ge=1, le=65535)
    """Port of the same of `adapter.py`."""

    adapt_confirm_s: float = Field(default=5.0, ge=0)
    """How long an alarm must last before it is answered by training."""

    adapt_cool_down_s: float = Field(default=300.0, ge=0)
    """How long nothing is trained after a run, or after the champion changed."""

    adapt_images: int = Field(default=600, ge=1)
    """Labelled, different images of the drifted period, at most; as many as the gate needs are collected."""

    adapt_minimum_images: int = Field(default=100, ge=1)
    """So many are waited for in any case, up to `adapt_patience_s`. A fifth of them is held out to judge by."""

    adapt_patience_s: float = Field(default=600.0, ge=0)
    """Then the minimum is enough; when even that has not come, the run fails."""

    adapt_strategy: str = DEFAULT_STRATEGY
    """Which of monday's images are trained on again: a name in `strategies/`."""

    adapt_budget: float = Field(default=DEFAULT_BUDGET, ge=0, le=1)
    """Share of monday's training images that the strategy may take."""

    gate_gain: float = Field(default=0.02, ge=0, le=1)
    """Held-out accuracy that a challenger must gain on the drifted day."""

    gate_day_loss: float = Field(default=0.025, ge=0, le=1)
    """Accuracy that it may lose on any earlier day."""

    gate_class_loss: float = Field(default=0.05, ge=0, le=1)
    """Share of any class's images that it may lose, over all days."""

    gate_latency_ms: float = Field(default=300.0, gt=0)
    """Processor time that it may take for a batch of 8 images."""

    @field_validator("tracking_uri", "s3_endpoint_url")
    @classmethod
    def _is_a_server(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
        return value.rstrip("/")

    @field_validator("backend_store_uri")
    @classmethod
    def _names_the_driver(cls, value: str) -> str:
        if not value.startswith(f"{DRIVER}://"):
            # SQLAlchemy reads postgresql:// as psycopg 3, which is not installed.
            raise ValueError(f"must begin with {DRIVER}://")
        return value

    @field_validator("group_pattern")
    @classmethod
    def _captures_something(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from error
            if groups == 0:
                raise ValueError("needs a group in round brackets that captures what belongs together")
        return value
