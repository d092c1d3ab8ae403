"""Passwords that lie in files, as container engines hand them over."""

from pathlib import Path

from common.cli import UserError


def read_secret(file: Path) -> str:
    """The file's text without the line's end. `UserError` when it cannot be read or is empty."""
    try:
        secret = file.read_text().strip()
    except OSError as error:
        raise UserError(f"the password file {file} cannot be read ({error.strerror}). Make it readable.") from error
    if not secret:
        raise UserError(f"the password file {file} is empty. Write the password into it.")
    return secret
