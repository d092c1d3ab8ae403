"""Settings of the generator; the command's options win over them."""

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import SettingsConfigDict

from common.paths import MANIFESTS, SECRETS
from common.settings import StageSettings, local_port, source_database_url

HIGHEST_RATE = 100_000
"""Rows a second."""


class Settings(StageSettings):
    """Variables `DATA_GENERATE_…`."""

    model_config = SettingsConfigDict(env_prefix="DATA_GENERATE_")

    source_database_url: str = Field(default_factory=source_database_url)
    """Database that the rows are inserted into."""
    manifest_dir: Path = MANIFESTS
    """Folder of the manifests, one DATASET.json each."""
    rate: float = Field(default=1.0, ge=0, le=HIGHEST_RATE)
    """Rows a second; 0 = none after the bulk load and the burst."""
    mix: str = "monday"
    """Data sets to pick from at the start: `monday`, or fractions such as `monday=0.2,tuesday=0.8`."""
    schedule: str = ""
    """Later mixes, by seconds since the start: `120:tuesday` or `60:monday=0.5,tuesday=0.5;120:tuesday`."""
    seed: int | None = None
    """Makes the picks repeatable; empty = different each time."""
    subscriber_url: HttpUrl | None = None
    """The subscriber's health address, to hold rows back while it is behind; empty = never hold back."""
    max_open_rows: int = Field(default=200, ge=1)
    """Rows that may be on their way to their predictions; with so many the generator holds back."""
    health_host: str = "127.0.0.1"
    """Address that /livez, /readyz and /metrics are served on."""
    health_port: int = Field(default_factory=lambda: local_port(9101))
    """Port that /livez, /readyz and /metrics are served on."""
    heartbeat_file: Path | None = None
    """Touched at each turn of the loop, for checks without HTTP; empty = none."""
    generator_password: SecretStr = SecretStr("generatorpassword")
    """Given to the generator's own role by `create_source_tables.py`, which runs as the database's owner."""
    trainer_password: SecretStr = SecretStr("trainerpassword")
    """The same for the trainer, who reads the table."""
    cdc_password_file: Path = SECRETS / "source-password"
    """Holds the same for the source connector."""
