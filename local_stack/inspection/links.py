"""How a link of the chain is asked, and what is said when it does not hold."""

from typing import Any

import httpx
import psycopg2

RESTART = "See its log with `make logs S={0}`; start the stack with `make up-local` if it is not up."


class BrokenLink(Exception):
    """A link that does not hold. `advice` says what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def query(url: str, service: str, statement: str) -> tuple[Any, ...]:
    """The first row. `BrokenLink` names `service`."""
    try:
        connection = psycopg2.connect(url, connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return tuple(cursor.fetchone() or ())
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise BrokenLink(str(error).strip().splitlines()[0], RESTART.format(service)) from error


def get(
    url: str, service: str, parameters: dict[str, str] | None = None, accept: tuple[int, ...] = (200,)
) -> httpx.Response:
    """An answer with a status of `accept`. `BrokenLink` names `service`."""
    try:
        answer = httpx.get(url, params=parameters, timeout=5)
    except httpx.HTTPError as error:
        raise BrokenLink(f"{url} does not answer ({error})", RESTART.format(service)) from error
    if answer.status_code not in accept:
        raise BrokenLink(f"{url} answers {answer.status_code}: {answer.text[:200].strip()}", RESTART.format(service))
    return answer


def json_of(url: str, service: str) -> Any:
    """The JSON that `url` answers."""
    return get(url, service).json()


def ready(url: str, service: str) -> str:
    """Say so if `url` answers 200."""
    get(url, service)
    return "ready"
