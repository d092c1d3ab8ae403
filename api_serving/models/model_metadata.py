"""What a model's file says about itself: classes, the answers it must give, what its training day looked like."""

import json
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

MAX_SELF_TEST_IMAGES: Final = 8
"""A self-test of thousands of pictures would keep a core busy and fill the memory."""

T = TypeVar("T", bound=BaseModel)


class InvalidModel(Exception):
    """A file that is not a classifier of the agreed form; the text says what is wrong with it."""


class ModelInfo(BaseModel):
    """Where a model comes from; kept beside it on disk as model.json."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    run_id: str
    classes: tuple[str, ...]
    metrics: dict[str, float]
    registry: Annotated[str, Field(description="Address of the registry that it was downloaded from")]
    sha256: Annotated[str, Field(description="Of the ONNX file")]


class SelfTest(BaseModel):
    """What the graph answered, where it was made, to random pictures that can be made again from the seed."""

    seed: int = Field(ge=0)
    # More than one, so that a graph with a fixed batch of one is refused when it is loaded and not by the first batch.
    images: int = Field(ge=2, le=MAX_SELF_TEST_IMAGES)
    probabilities: list[list[FiniteFloat]] | None = None


class EmbeddingOrigin(BaseModel):
    """What computes the graph's `embedding`: the hash of the network, and what its numbers are computed in."""

    backbone: str = Field(min_length=1)
    precision: str = Field(min_length=1)


class DriftReference(BaseModel):
    """The graph's own answers on held-out images of the newest day it was trained on; same order in both lists."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    accuracy: Annotated[FiniteFloat, Field(ge=0, le=1, description="Share of these images that it got right")]
    confidences: list[FiniteFloat]
    features: list[list[FiniteFloat]]
    projection: Annotated[str | None, Field(description="Names what made the features of embeddings")] = None

    @model_validator(mode="after")
    def _one_row_an_image(self) -> "DriftReference":
        if len(self.confidences) != len(self.features) or len({len(row) for row in self.features}) > 1:
            raise ValueError("it needs one confidence and one row of features an image, all rows of one length")
        return self


def read_classes(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The class names, by index. Raises `InvalidModel`."""
    try:
        classes = json.loads(metadata["classes"])
    except (KeyError, ValueError) as error:
        raise InvalidModel("its metadata has no JSON list `classes`") from error
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) and name for name in classes):
        raise InvalidModel("its metadata `classes` is not a list of names")
    if len(set(classes)) != len(classes):
        raise InvalidModel("its metadata `classes` names a class twice")
    return tuple(classes)


def read_self_test(metadata: Mapping[str, str]) -> SelfTest:
    """The pictures to try it with, and the answers to expect where the file has them. Raises `InvalidModel`."""
    return _read(metadata, "self_test", SelfTest) or SelfTest(seed=0, images=2)


def read_embedding_origin(metadata: Mapping[str, str]) -> EmbeddingOrigin | None:
    """None where the file does not say what its embeddings are. Raises `InvalidModel`."""
    return _read(metadata, "embedding", EmbeddingOrigin)


def read_reference(metadata: Mapping[str, str]) -> DriftReference | None:
    """What drift is measured against; None where the file has nothing. Raises `InvalidModel`."""
    return _read(metadata, "drift_reference", DriftReference)


def _read(metadata: Mapping[str, str], key: str, form: type[T]) -> T | None:
    if key not in metadata:
        return None
    try:
        return form.model_validate_json(metadata[key])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidModel(
            f"its metadata `{key}` is not of the agreed form ({where or key}: {first['msg']})"
        ) from error
