"""How many labelled images of a drifted period are waited for: as many as the gate needs to judge by."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.cli import UserError
from model_registry.adaptation.sample_size import expected_gain, required_test_images
from model_registry.data.dataset import FOLDS, LabelledImage
from model_registry.data.days import DRIFTED
from model_registry.settings import Settings

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.5

NOTHING_NEW_ROWS = 100
"""When so many rows in a row show images seen before, the stream has shown all that it has."""


@dataclass(frozen=True)
class LabelledRows:
    """The labelled rows of the drifted period at one moment."""

    images: Sequence[LabelledImage]
    """The different ones, ordered."""

    accuracy: float | None
    """Share of rows that the champion answered rightly; None while it answered none."""

    rows_since_new: int
    """Rows since the last image that was new."""


def wanted_images(rows: LabelledRows, reference_accuracy: float | None, settings: Settings) -> int:
    """How many images the gate is expected to need, by what the champion has lost.

    Of which a share of one in `FOLDS` is held out to judge by. As many as allowed while the loss is not known.
    """
    if reference_accuracy is None or rows.accuracy is None:
        return settings.adapt_images
    needed = FOLDS * required_test_images(expected_gain(reference_accuracy, rows.accuracy, settings.gate_gain))
    return int(min(max(needed, settings.adapt_minimum_images), settings.adapt_images))


def has_enough(rows: LabelledRows, wanted: int, waited_s: float, settings: Settings) -> bool:
    """Whether the images are enough. `UserError` when they are not and the patience is over."""
    images = len(rows.images)
    if images >= wanted:
        return True
    over = waited_s >= settings.adapt_patience_s
    if images >= settings.adapt_minimum_images:
        return over or rows.rows_since_new >= NOTHING_NEW_ROWS
    if over:
        raise UserError(
            f"only {images} labelled images of '{DRIFTED}' after {waited_s:.0f} s; "
            f"{settings.adapt_minimum_images} are needed (MODEL_REGISTRY_ADAPT_MINIMUM_IMAGES)"
        )
    return False


def collect(
    read_rows: Callable[[], LabelledRows],
    reference_accuracy: float | None,
    settings: Settings,
    on_progress: Callable[[Sequence[LabelledImage], int], object],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> list[LabelledImage]:
    """Read until the images are enough, and return them. `UserError` when they are not before patience ends.

    `on_progress` gets those there are so far and the number wanted, at each reading.
    """
    began = clock()
    while True:
        rows = read_rows()
        wanted = wanted_images(rows, reference_accuracy, settings)
        waited_s = clock() - began
        enough = has_enough(rows, wanted, waited_s, settings)
        on_progress(rows.images, wanted)
        if enough:
            log.info(
                "%d labelled images of the drifted period in %.0f s, %d wanted", len(rows.images), waited_s, wanted
            )
            return list(rows.images)
        sleep(POLL_INTERVAL_S)
