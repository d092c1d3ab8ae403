"""How every command ends: errors that a user can mend become one line and an exit code, never a traceback."""

import sys

import typer
from pydantic import ValidationError


class UserError(Exception):
    """Something the user can mend. The message says what is wrong and what to do next."""


def describe_invalid_settings(error: ValidationError) -> str:
    """One line that names each wrong setting."""
    problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"invalid settings for {error.title} ({problems}). See .env.example for each variable."


def run(app: typer.Typer) -> None:
    """Run a command. `UserError` and invalid settings print one message to standard error and exit with 1."""
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")
    except ValidationError as error:
        sys.exit(f"error: {describe_invalid_settings(error)}")
