"""One log format for every service: UTC time, level, logger, message, to standard error."""

import logging
import time


def configure_logging(level: int = logging.INFO) -> None:
    """Set up the root logger. Call once, in `main()`."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line a request or reconnect attempt at INFO would bury what the service itself says.
    for noisy in ("httpx", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # While the broker is away these write some ten errors a second; the services say once what is missing.
    for flooding in ("kafka.net", "kafka.cluster", "kafka.coordinator"):
        logging.getLogger(flooding).setLevel(logging.CRITICAL)
