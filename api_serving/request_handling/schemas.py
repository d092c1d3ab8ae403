"""What travels over the API."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api_serving.models.model_metadata import DriftReference, ModelInfo

MAX_BATCH: Final = 256

EXAMPLE_IMAGE: Final = "background/background_13.jpg"


class ImageReference(BaseModel):
    """An image of a data set on the server."""

    # Both fields are checked where the file is looked up, image by image: one bad path must not refuse a whole batch.

    model_config = ConfigDict(json_schema_extra={"examples": [{"image_path": EXAMPLE_IMAGE, "dataset": "monday"}]})

    image_path: Annotated[str, Field(description="CLASS/FILE below the data set's folder", examples=[EXAMPLE_IMAGE])]
    dataset: Annotated[str, Field(description="Folder of the data set")] = "monday"


class BatchRequest(BaseModel):
    """1 to 256 images of data sets on the server."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"image_path": EXAMPLE_IMAGE}, {"image_path": "wood/nothing.jpg"}]}]}
    )

    items: Annotated[list[ImageReference], Field(min_length=1, max_length=MAX_BATCH)]
    with_embedding: Annotated[
        bool, Field(description="Add to each prediction what the network made of the picture")
    ] = False


class Prediction(BaseModel):
    """What the model says about one image."""

    target: Annotated[int, Field(description="Index of the class", examples=[0])]
    class_name: Annotated[str, Field(examples=["background"])]
    confidence: Annotated[float, Field(ge=0, le=1, description="Probability of the class", examples=[0.98])]
    model_version: Annotated[str, Field(description="Version in the registry", examples=["3"])]


class PredictionWithEmbedding(Prediction):
    """The same with what the network made of the picture, to be kept for whoever asks later."""

    content: Annotated[str, Field(description="SHA-256 of the file's bytes, in hexadecimal")]
    embedding: Annotated[
        str | None, Field(description="Base64 of 1280 little-endian float16; null where the model gives none")
    ]
    embedding_method: Annotated[str | None, Field(description="Names what made it; others cannot be compared with it")]


class ProblemDetails(BaseModel):
    """RFC 9457: what is wrong and what to do."""

    type: Annotated[str, Field(description="Stable name of the kind of problem")]
    title: str
    status: Annotated[int, Field(description="HTTP status code")]
    detail: str


class BatchResponse(BaseModel):
    """One prediction or problem an item, in the order asked."""

    results: list[PredictionWithEmbedding | Prediction | ProblemDetails]


class ServedModel(ModelInfo):
    """The model that answers now."""

    note: Annotated[str | None, Field(description="Why what the alias names now could not be taken over, while so")]


class ModelReference(DriftReference):
    """What the model that answers now gave on held-out images of the day it knows best."""

    model_version: str


class Status(BaseModel):
    """A health answer."""

    status: str
    model_version: str | None = None
    note: str | None = None
