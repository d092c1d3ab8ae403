"""Settings of the local stack."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from common.paths import REPOSITORY
from common.settings import StageSettings


class Settings(StageSettings):
    """Where the stack keeps its state, and which images it works on."""

    model_config = SettingsConfigDict(env_prefix="LOCAL_STACK_", populate_by_name=True)

    state_dir: Path = REPOSITORY / ".local_stack"
    """Everything the services write: databases, topics, objects, logs. Remove it to start anew."""

    monday_dir: Path | None = Field(default=None, validation_alias="MONDAY_DIR")
    """Your own clean images, one folder a class, instead of the rendered sample."""

    tuesday_dir: Path | None = Field(default=None, validation_alias="TUESDAY_DIR")
    """Your own changed images with the same names; without it they are made from `monday_dir` by corruption."""

    java_home: Path | None = Field(default=None, validation_alias="JAVA_HOME")
    """A Java runtime of version 17 or newer; without it the one on the path, else the one from the pins."""
