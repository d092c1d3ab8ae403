"""What the target database has of a drifted period: labelled images, the champion's answers, embeddings."""

from collections.abc import Sequence

from common.pictures.embeddings import EMBEDDING_BYTES, FloatArray, unpack
from common.postgres import Connection
from model_registry.adaptation.adaptation_table import Alarm
from model_registry.adaptation.label_collection import LabelledRows
from model_registry.data.dataset import LabelledImage
from model_registry.data.days import DRIFTED

PERIOD = "from cargo_prediction where id >= %s and dataset = %s and label is not null"


def read_labelled_rows(connection: Connection, alarm: Alarm, at_most: int) -> LabelledRows:
    """The rows of the alarm there are now, with the first `at_most` different images of them."""
    period = (alarm.first_id, DRIFTED)
    with connection.cursor() as cursor:
        cursor.execute(
            f"select image_path, label, min(id) {PERIOD} group by image_path, label order by 3 limit %s",
            (*period, at_most),
        )
        first_ids = {LabelledImage(path, label): first_id for path, label, first_id in cursor}
        newest = max(first_ids.values(), default=0)
        cursor.execute(
            "select avg((target = label)::int) filter (where model_version = %s), count(*) filter (where id > %s)"
            f" {PERIOD}",
            (alarm.model_version, newest, *period),
        )
        accuracy, since_new = cursor.fetchone() or (None, 0)
    images = sorted(first_ids, key=lambda image: (image.image_path, image.target))
    return LabelledRows(images, None if accuracy is None else float(accuracy), since_new)


def streamed_embeddings(
    connection: Connection, alarm: Alarm, image_paths: Sequence[str], method: str
) -> dict[str, tuple[str, FloatArray]]:
    """For those of `image_paths` that were embedded by `method`: content and embedding [1280] of the newest row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct on (image_path) image_path, content, embedding"
            " from cargo_prediction join cargo_prediction_embedding using (id)"
            " where id >= %s and dataset = %s and label is not null and image_path = any(%s)"
            " and method = %s and octet_length(embedding) = %s order by image_path, id desc",
            (alarm.first_id, DRIFTED, list(image_paths), method, EMBEDDING_BYTES),
        )
        return {path: (content, unpack(embedding)[0]) for path, content, embedding in cursor}
