"""What containers' health checks run: `python -m common.health.check URL` ends with 0 if the URL answers 200.

Only the standard library: it runs every few seconds in each container.
"""

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def problem(url: str) -> str | None:
    """Why `url` does not answer 200; None if it does."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the address is in a compose file
            return None if answer.status == 200 else f"{url} answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return f"{url}: {error}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]))
