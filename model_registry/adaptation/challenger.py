"""One champion and its challenger: trained alike, split alike, judged side by side."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from common.cli import UserError
from model_registry.adaptation.gate import Latency, Limits, PairedPredictions, Verdict, evaluate_gate
from model_registry.adaptation.measured_model import MeasuredModel
from model_registry.data.dataset import LabelledImage, ManifestRow
from model_registry.data.days import CLEAN, DRIFTED
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES
from model_registry.training.head import classes_of, metadata
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import (
    PreparedDay,
    TrainedModel,
    held_out_rows,
    prepare_clean_day,
    train_on_both_days,
)
from model_registry.versions.registry_client import Registry, run_id_of
from model_registry.versions.verification import require_registered


@dataclass(frozen=True)
class Champion:
    """The version that serves, and what its run recorded."""

    version: str
    measured: MeasuredModel
    manifest: Sequence[ManifestRow]
    seed: int
    group_pattern: str | None

    @property
    def reference_accuracy(self) -> float | None:
        """On the held-out images of the newest day it was trained on; None from a graph that does not tell."""
        accuracy = metadata(self.measured.model).get("drift_reference", {}).get("accuracy")
        return accuracy if isinstance(accuracy, float) else None

    def measure_early(self, image_root: Path) -> float:
        """Measure what needs no challenger: monday's answers, and the time for a batch, which is returned."""
        held_out = [row for row in held_out_rows(self.manifest) if row.dataset == CLEAN]
        self.measured.predictions([row for row in held_out if (image_root / CLEAN / row.image_path).is_file()])
        return self.measured.batch_ms


def read_champion(registry: Registry, image_root: Path, embeddings: EmbeddingSource) -> Champion:
    """Fetch it from the registry. `UserError` when there is none, or none that a run registered."""
    version = registry.champion()
    if version is None:
        raise UserError(f"model {registry.model_name} has no champion to compare with")
    recorded = registry.client.get_run(run_id_of(version)).data.params
    if not {"seed", "group_pattern"} <= set(recorded):
        raise UserError(
            f"the run of version {version.version} recorded no seed or no group pattern: its split is not known. "
            "Only champions of save_model_to_registry.py can be challenged"
        )
    with tempfile.TemporaryDirectory() as scratch:
        manifest = registry.manifest(version, Path(scratch))
    pattern = recorded["group_pattern"]
    return Champion(
        str(version.version),
        MeasuredModel(registry.load(version), image_root, embeddings),
        manifest,
        int(recorded["seed"]),
        # MLflow keeps parameters as text. A pattern has brackets, so this one is none.
        None if pattern == "None" else pattern,
    )


def chosen_recipe(settings: Settings, seed: int) -> Recipe:
    """How challengers are trained. `UserError` when the strategy does not exist or leaves the drifted day out."""
    usable = [name for name, strategy in STRATEGIES.items() if strategy.uses_new]
    if settings.adapt_strategy not in usable:
        raise UserError(f"MODEL_REGISTRY_ADAPT_STRATEGY={settings.adapt_strategy} is not one of {', '.join(usable)}")
    return Recipe(seed, settings.adapt_strategy, settings.adapt_budget)


def prepare_challenger(
    champion: Champion, clean_rows: Sequence[LabelledImage], settings: Settings, embeddings: EmbeddingSource
) -> PreparedDay:
    """What needs no row of the drifted day, with everything held out that was held out before."""
    recipe = chosen_recipe(settings, champion.seed)
    return prepare_clean_day(clean_rows, _alike(champion, settings), recipe, embeddings, champion.manifest)


def train_challenger(
    champion: Champion,
    old: PreparedDay,
    drifted_rows: Sequence[LabelledImage],
    settings: Settings,
    embeddings: EmbeddingSource,
) -> TrainedModel:
    """Train on these rows, with everything held out that was held out before. `UserError` when they do not suffice."""
    recipe = chosen_recipe(settings, champion.seed)
    trained = train_on_both_days(old, drifted_rows, _alike(champion, settings), recipe, embeddings, champion.manifest)
    known = classes_of(champion.measured.model)
    if trained.classes != known:
        raise UserError(
            f"the rows have the classes {', '.join(trained.classes)}, the champion has {', '.join(known)}: "
            "they cannot be compared. Train and promote a version by hand"
        )
    return trained


def _alike(champion: Champion, settings: Settings) -> Settings:
    return settings.model_copy(update={"group_pattern": champion.group_pattern})


def evaluate_challenger(
    registry: Registry,
    champion: Champion,
    version: ModelVersion,
    trained: TrainedModel,
    settings: Settings,
    embeddings: EmbeddingSource,
) -> Verdict:
    """Compare both on what `trained` held out. `UserError` when the registry has another graph than was trained."""
    challenger = require_registered(registry, version, trained, settings.image_root, embeddings)
    held_out = held_out_rows(trained.manifest)
    days = {}
    for day, measured in ((CLEAN, trained.clean), (DRIFTED, trained.drifted)):
        rows = [row for row in held_out if row.dataset == day]
        if rows and measured is not None:
            days[day] = PairedPredictions(measured.targets, champion.measured.predictions(rows), measured.predictions)
    limits = Limits(settings.gate_gain, settings.gate_day_loss, settings.gate_class_loss, settings.gate_latency_ms)
    latency = Latency(champion.measured.batch_ms, MeasuredModel(challenger, settings.image_root, embeddings).batch_ms)
    verdict = evaluate_gate(days, DRIFTED, trained.classes, latency, limits)
    verdict.figures["embedded"] = embeddings.counts
    return verdict
