"""The row that travels from the source table through Kafka, and how a message becomes one."""

import json
from typing import Annotated, TypeGuard

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

ImagePath = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class CargoRow(BaseModel):
    """One committed row of the source table `cargo`. `target` is the true class index, None if it is not labelled."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
    timestamp: AwareDatetime
    dataset: str
    image_path: ImagePath
    target: Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)] | None = None


class InvalidMessage(ValueError):
    """A Kafka message that is not a cargo row; the text says why."""


def is_row_id(value: object) -> TypeGuard[int]:
    """Whether it can be an id of the source table."""
    return type(value) is int and -(2**63) <= value < 2**63


def parse_key(key: bytes | None) -> int | None:
    """The row's id that a message's key says; None where it says none."""
    try:
        found = json.loads(key or b"")
    except (ValueError, RecursionError):
        return None
    return found if is_row_id(found) else None


def parse_message(value: bytes | None) -> CargoRow:
    """Read the JSON-with-schema value of a `postgres-source-cargo` message. Raises `InvalidMessage`."""
    if not value:
        raise InvalidMessage("the message has no value")
    try:
        payload = json.loads(value)["payload"]
        return CargoRow.model_validate(payload)
    except (KeyError, TypeError) as error:
        raise InvalidMessage("the value is JSON but not an object with schema and payload") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidMessage(
            f"payload field {'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}"
        ) from error
    # Not only JSONDecodeError: text that is no UTF-8 and numbers of thousands of digits raise others.
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"the value is not JSON: {error}") from error
