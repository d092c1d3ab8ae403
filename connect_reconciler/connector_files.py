"""The connectors as their files in `kafka/` describe them."""

import json
from pathlib import Path

from common.cli import UserError


def desired_connectors(folder: Path) -> dict[str, dict[str, str]]:
    """Configuration by name, from the files that `curl` can post as well. Raises `UserError`."""
    wanted = {}
    for file in sorted(folder.glob("*_connector.json")):
        try:
            described = json.loads(file.read_text())
            wanted[described["name"]] = dict(described["config"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{file} is not of the form {{"name": …, "config": {{…}}}}: {error}') from error
    if not wanted:
        raise UserError(f"{folder} holds no *_connector.json. Set CONNECT_RECONCILER_FILES to the folder kafka/.")
    return wanted
