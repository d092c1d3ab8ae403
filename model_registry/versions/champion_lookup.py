"""Which version serves, asked over MLflow's HTTP interface: for services that need next to no memory otherwise."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.names import CHAMPION


class RegistryUnavailable(Exception):
    """The MLflow server does not answer, or not as one that is ready."""


@dataclass(frozen=True)
class Champion:
    """The version that serves, and since when."""

    version: str
    promoted_at: datetime | None
    """When it took another version's place, by promotion or rollback; None for a first champion."""


def find_champion(tracking_uri: str, model_name: str) -> Champion | None:
    """The champion of `model_name`, None when there is none. Raises `RegistryUnavailable`."""
    name = urllib.parse.urlencode({"name": model_name, "alias": CHAMPION})
    try:
        address = f"{tracking_uri}/api/2.0/mlflow/registered-models/alias?{name}"
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - an http address, by the settings
            version = json.load(answer)["model_version"]
            return Champion(str(version["version"]), _took_over_at(version.get("tags", [])))
    except urllib.error.HTTPError as error:
        if error.code in {400, 404}:
            return None
        raise RegistryUnavailable(f"{tracking_uri} answers {error.code}") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RegistryUnavailable(f"{tracking_uri}: {error}") from error


def _took_over_at(tags: list[dict[str, Any]]) -> datetime | None:
    """By the newest of the tags that `promotion.py` writes."""
    prefix = "promotion."
    moves = {tag["key"]: json.loads(tag["value"]) for tag in tags if tag["key"].startswith(prefix)}
    if not moves or moves[max(moves)]["from_version"] is None:
        return None
    return datetime.fromisoformat(max(moves).removeprefix(prefix))
