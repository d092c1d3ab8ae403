"""Rebuilds a registered version from what its run recorded and from nothing else, and compares the two.

The record names each image, its side of the split and the hash of its bytes; strategy, budget and seed; the figures.
What the strategy chooses is worked out anew. The split is taken from the record: that of a later version kept to the
split of the champion before it.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from mlflow.entities.model_registry import ModelVersion

from common.cli import UserError
from model_registry.data.content_hash import content_hash
from model_registry.data.dataset import LabelledImage, ManifestRow, manifest_text
from model_registry.data.days import CLEAN, DRIFTED
from model_registry.network.backbone import backbone_sha256
from model_registry.network.embedding_source import EmbeddingSource
from model_registry.settings import Settings
from model_registry.strategies import STRATEGIES
from model_registry.training.code_version import UNKNOWN, code_commit
from model_registry.training.evaluation import Evaluation
from model_registry.training.rehearsal import Recipe
from model_registry.training.training import TrainedModel, evaluate_rows, held_out_rows, train_rows
from model_registry.versions.registry_client import Registry, run_id_of
from model_registry.versions.verification import require_unchanged

TOLERANCE = 1e-3
"""Between probabilities: another processor adds in another order, which shows in the sixth digit."""

ROUNDING = 1e-9
"""Of quotients of two counts."""


@dataclass(frozen=True)
class Check:
    """One comparison of the record with what was rebuilt."""

    what: str
    agrees: bool
    detail: str


@dataclass(frozen=True)
class Reproduction:
    """All comparisons, and the code's commit then and now."""

    checks: list[Check]
    recorded_commit: str
    commit: str

    @property
    def agrees(self) -> bool:
        """Whether everything is as recorded."""
        return all(check.agrees for check in self.checks)


def reproduce(registry: Registry, version: ModelVersion, settings: Settings) -> Reproduction:
    """Train as the run of `version` did, on the images below `settings.image_root`, and compare with its record.

    `UserError` when an image is missing or has changed, or when the record does not say enough.
    """
    run = registry.client.get_run(run_id_of(version)).data
    parameters: Mapping[str, str] = run.params
    with tempfile.TemporaryDirectory() as scratch:
        manifest = registry.manifest(version, Path(scratch))
    recipe, group_pattern = _recipe(parameters, version)
    require_unchanged(manifest, settings.image_root)
    grouped = settings.model_copy(update={"group_pattern": group_pattern})
    embeddings = EmbeddingSource(settings.embedding_cache, content_hash)
    clean, drifted = (_images(manifest, dataset) for dataset in (CLEAN, DRIFTED))
    rebuilt = train_rows(clean, drifted, grouped, recipe, embeddings, known=manifest)
    checks = [
        _equal("data manifest", parameters.get("data_manifest_sha256"), _sha256(manifest_text(manifest))),
        _equal("backbone's weights", parameters.get("backbone_sha256"), backbone_sha256()),
        *compare_choice(manifest, rebuilt.manifest),
        compare_metrics(run.metrics, rebuilt),
        *compare_answers(registry.load(version), rebuilt.model, held_out_rows(manifest), settings.image_root),
    ]
    return Reproduction(checks, parameters.get("code_commit", UNKNOWN), code_commit(settings))


def _recipe(parameters: Mapping[str, str], version: ModelVersion) -> tuple[Recipe, str | None]:
    """What the user had decided, and the pattern of groups."""
    try:
        seed, strategy, pattern = (parameters[name] for name in ("seed", "strategy", "group_pattern"))
    except KeyError as error:
        raise UserError(f"the run of version {version.version} does not tell its {error.args[0]}") from None
    if strategy not in STRATEGIES:
        raise UserError(
            f"version {version.version} was trained with the strategy {strategy!r}, which this code does not have. "
            f"Check out its commit: {parameters.get('code_commit', UNKNOWN)}."
        )
    budget = float(parameters.get("budget", Recipe.budget))
    return Recipe(int(seed), strategy, budget), None if pattern == "None" else pattern


def _images(manifest: Sequence[ManifestRow], dataset: str) -> list[LabelledImage]:
    return [LabelledImage(row.image_path, row.target) for row in manifest if row.dataset == dataset]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _equal(what: str, recorded: str | None, now: str) -> Check:
    same = recorded == now
    return Check(what, same, f"{now[:12]}…" if same else f"recorded {recorded}, now {now}")


def compare_choice(recorded: Sequence[ManifestRow], rebuilt: Sequence[ManifestRow]) -> list[Check]:
    """Whether the same images are trained on, day by day."""
    checks = []
    for dataset in dict.fromkeys(row.dataset for row in recorded):
        then, now = (
            {row.image_path for row in rows if (row.dataset, row.split) == (dataset, "train")}
            for rows in (recorded, rebuilt)
        )
        differing = sorted(then ^ now)
        detail = f"{len(then & now)} images of {dataset}"
        if differing:
            detail = (
                f"of {dataset} {len(then - now)} recorded images are not chosen now and {len(now - then)} others are, "
                f"first {differing[0]}"
            )
        checks.append(Check("images trained on", not differing, detail))
    return checks


def compare_metrics(recorded: Mapping[str, float], rebuilt: TrainedModel) -> Check:
    """Whether every figure on held-out images is the very same number, but for images of nearly equal classes.

    Embeddings that streamed and those that are computed here may be rounded to different sides.
    """
    figures = rebuilt.metrics
    # Where tuesday was only looked at, its images are no part of the record, and need not be here.
    absent = {name for name in recorded if "_tuesday" in name} if rebuilt.drifted is None else set()
    names = sorted({name for name in recorded if name.startswith("test_")} - absent | set(figures))
    unequal = [name for name in names if recorded.get(name) != figures.get(name)]
    differing = [name for name in unequal if not _explained_by_near_ties(name, recorded, rebuilt)]
    told = [f"{name} was {recorded.get(name)!r}, is {figures.get(name)!r}" for name in differing]
    detail = "; ".join(told) or f"{len(names) - len(unequal)} equal figures"
    if unequal and not differing:
        detail += f"; {len(unequal)} differ by images of which two classes are nearly equal"
    left_out = f"; {len(absent)} of tuesday are left out, whose images are not here" if absent else ""
    return Check("metrics", not differing, detail + left_out)


def _explained_by_near_ties(name: str, recorded: Mapping[str, float], rebuilt: TrainedModel) -> bool:
    """Whether images of which two classes are nearly equal can make the figure that is recorded of the rebuilt one."""
    day = rebuilt.drifted if "_tuesday" in name else rebuilt.clean
    figures = rebuilt.metrics
    if day is None or name not in recorded or name not in figures:
        return False
    images = np.bincount(day.targets, minlength=len(rebuilt.classes))
    close = np.bincount(day.targets[day.close], minlength=len(rebuilt.classes))
    if "_recall_" in name:
        index = int(name.partition("_recall_")[2].partition("_")[0])
        most = close[index] / max(images[index], 1)
    elif "macro_f1" in name:
        # An image changes the F1 scores of two classes, each by no more than 2 of the class's images.
        most = 4 * close.sum() / (len(images) * max(images.min(), 1))
    else:
        most = close.sum() / images.sum()
    return bool(close.any() and abs(recorded[name] - figures[name]) <= most + ROUNDING)


def compare_answers(
    registered: onnx.ModelProto, rebuilt: onnx.ModelProto, rows: Sequence[ManifestRow], image_root: Path
) -> list[Check]:
    """Whether both graphs say the same of the held-out images, but for those of nearly equal classes."""
    answers = []
    for name, model in (("registered", registered), ("rebuilt", rebuilt)):
        days = []
        for dataset in dict.fromkeys(row.dataset for row in rows):
            of_day = [row for row in rows if row.dataset == dataset]
            description = f"Asking the {name} graph about {dataset}"
            days.append(evaluate_rows(model, of_day, image_root / dataset, description))
        answers.append(
            Evaluation(
                np.concatenate([day.targets for day in days]), np.concatenate([day.probabilities for day in days])
            )
        )
    then, now = answers
    if then.probabilities.shape != now.probabilities.shape:
        classes = " and ".join(str(each.probabilities.shape[1]) for each in answers)
        return [Check("predictions", False, f"the graphs know {classes} classes")]
    same = then.predictions == now.predictions
    close = f"; of {then.close[~same].sum()} others two classes are nearly equal" if then.close[~same].any() else ""
    apart = float(np.abs(then.probabilities - now.probabilities).max())
    return [
        Check(
            "predictions",
            bool((same | then.close).all()),
            f"{same.sum()} of {len(rows)} held-out images the same{close}",
        ),
        Check("probabilities", apart <= TOLERANCE, f"at most {apart:.1e} apart, {TOLERANCE:g} allowed"),
    ]
