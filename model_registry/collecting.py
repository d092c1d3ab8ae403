"""The labelled images of a drifted period, as the table of predictions has them."""

import logging
import time
from collections.abc import Callable

from common.cli import UserError
from common.postgres import Connection
from model_registry.dataset import LabelledImage
from model_registry.days import DRIFTED
from model_registry.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


def collect(
    connection: Connection, first_id: int, settings: Settings, meanwhile: Callable[[list[LabelledImage]], object]
) -> list[LabelledImage]:
    """The distinct labelled images of tuesday among the rows from `first_id` on, ordered.

    Waits until there are `adapt_images`, for `adapt_collect_s`; after that `adapt_minimum_images` are enough.
    `UserError` when there are fewer after `adapt_patience_s`. `meanwhile` gets what there is so far, at each look.
    """
    began = time.monotonic()
    while True:
        images = labelled_images(connection, first_id)
        waited_s = time.monotonic() - began
        if len(images) >= settings.adapt_images:
            return images
        if waited_s >= settings.adapt_collect_s and len(images) >= settings.adapt_minimum_images:
            log.info("%d labelled images of the drifted period in %.0f s; that will do", len(images), waited_s)
            return images
        if waited_s >= max(settings.adapt_collect_s, settings.adapt_patience_s):
            raise UserError(
                f"only {len(images)} labelled images of '{DRIFTED}' from row {first_id} on after {waited_s:.0f} s; "
                f"{settings.adapt_minimum_images} are needed (MODEL_REGISTRY_ADAPT_MINIMUM_IMAGES)"
            )
        meanwhile(images)
        time.sleep(LOOK_EVERY_S)


def labelled_images(connection: Connection, first_id: int) -> list[LabelledImage]:
    """Those there are now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct image_path, label from cargo_prediction"
            " where id >= %s and dataset = %s and label is not null order by image_path, label",
            (first_id, DRIFTED),
        )
        return [LabelledImage(path, label) for path, label in cursor]
