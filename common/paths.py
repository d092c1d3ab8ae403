"""Where things lie in a checkout; images built from it keep the same layout."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
IMAGE_ROOT = REPOSITORY / "api_serving"
"""Holds one folder a data set (`monday/`, `tuesday/`), each with one folder a class."""

MANIFESTS = REPOSITORY / "data_generate"
SECRETS = REPOSITORY / "kafka" / "secrets"
"""The connectors' passwords, a file each."""

CACHE = REPOSITORY / ".cache"
