"""What identifies a picture: the bytes of its file."""

import hashlib
from pathlib import Path

from common.cli import UserError


def content_hash(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes. `UserError` when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
