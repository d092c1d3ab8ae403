"""Collects the images of a drifted period, and uses the time for everything that does not need the last of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from common.postgres import Connection
from model_registry.adaptation.adaptation_table import Alarm, Run
from model_registry.adaptation.challenger import Champion, prepare_challenger
from model_registry.adaptation.drifted_rows import read_labelled_rows, streamed_embeddings
from model_registry.adaptation.label_collection import collect
from model_registry.data.dataset import LabelledImage
from model_registry.data.days import DRIFTED
from model_registry.network.embedding_source import EmbeddingSource, embedding_method
from model_registry.settings import Settings
from model_registry.training.training import PreparedDay
from model_registry.versions.registration import warm_up_mlflow


@dataclass
class Preparation:
    """What one run knows when it begins to train."""

    connection: Connection
    alarm: Alarm
    champion: Champion
    clean_rows: Sequence[LabelledImage]
    settings: Settings
    embeddings: EmbeddingSource
    _asked: set[str] = field(default_factory=set)
    """Images whose embeddings were looked for in the stream."""

    _ready: bool = False
    """Whether all is done that needs no image of the drifted period."""

    @cached_property
    def prepared_day(self) -> PreparedDay:
        """Monday, chosen from."""
        return prepare_challenger(self.champion, self.clean_rows, self.settings, self.embeddings)

    def collect(self, record: Run) -> list[LabelledImage]:
        """The images of the drifted period, embedded. `UserError` when too few come, or one is unreadable."""

        def on_progress(images: Sequence[LabelledImage], wanted: int) -> None:
            record.collecting(len(images), wanted)
            self._work_ahead(images)

        return collect(
            lambda: read_labelled_rows(self.connection, self.alarm, self.settings.adapt_images),
            self.champion.reference_accuracy,
            self.settings,
            on_progress,
        )

    def _work_ahead(self, images: Sequence[LabelledImage]) -> None:
        folder = self.settings.image_root / DRIFTED
        present = [image.image_path for image in images if (folder / image.image_path).is_file()]
        new = [path for path in present if path not in self._asked]
        found = streamed_embeddings(self.connection, self.alarm, new, embedding_method())
        self._asked.update(new)
        self.embeddings.add_streamed({folder / path: streamed for path, streamed in found.items()})
        self.embeddings.of([folder / path for path in new])
        if not self._ready:
            _ = self.prepared_day
            self.champion.measure_early(self.settings.image_root)
            warm_up_mlflow(self.champion.measured.model)
            self._ready = True
