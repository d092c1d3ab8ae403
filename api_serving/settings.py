"""Settings of the prediction API, from `API_SERVING_…` variables."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from common.names import CHAMPION, MODEL_NAME
from common.paths import CACHE, IMAGE_ROOT
from common.settings import StageSettings, mlflow_tracking_uri

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/]")]


class Settings(StageSettings):
    """Built in the application's lifespan and in `download_model.main`, never at import."""

    model_config = SettingsConfigDict(env_prefix="API_SERVING_")

    image_root: Path = IMAGE_ROOT
    """Holds one folder a data set; nothing outside a data set's folder can be read."""

    mlflow_tracking_uri: HttpUrl = Field(default_factory=mlflow_tracking_uri)
    """The model registry."""

    model_name: str = MODEL_NAME
    """Registered model to serve."""

    model_alias: str = CHAMPION
    """Which of its versions to serve."""

    model_source: Literal["registry", "disk"] = "registry"
    """`registry`: what the alias names. `disk`: exactly what `download_model.py` fetched."""

    model_dir: Path = CACHE / "models"
    """Downloaded models: `downloaded/` by `download_model.py`, `registry-…/` by the API itself."""

    registry_timeout_s: float = Field(default=10.0, gt=0)
    """How long one answer of the registry may take."""

    poll_s: float = Field(default=1.0, ge=0.2)
    """Pause between two looks at what the alias names; a new version is served about this much after it moved."""

    fallback_after_s: float = Field(default=20.0, ge=0)
    """After how long without the registry the last downloaded model is served. Longer than a cold start of MLflow,
    so that a restart of everything does not begin with an outdated model."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Chunks of images that are decoded and predicted at the same time."""

    inference_threads: int = Field(default=1, ge=1)
    """onnxruntime's threads for one chunk. One each and a worker a core beats sharing every core."""

    chunk_size: int = Field(default=8, ge=1, le=256)
    """Images that go through the model at once. Larger ones fall out of the cache: 8 took 10 ms of a core an image,
    32 took 12 and 64 took 13."""

    max_pending: int = Field(default=64, ge=1)
    """Requests that may wait or run; the next one is told to come back later."""

    max_uploads: int = Field(default=16, ge=1)
    """Uploads that may be in memory at once, each up to 20 MiB."""

    upload_timeout_s: float = Field(default=30.0, gt=0)
    """How long a client may take to send one upload."""
