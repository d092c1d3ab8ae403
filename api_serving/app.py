"""The prediction API. Run it with `uvicorn api_serving.app:app`, or `uvicorn app:app` in this folder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api_serving.models.model_holder import ModelHolder
from api_serving.request_handling import problems
from api_serving.request_handling.image_store import ImageStore
from api_serving.request_handling.logs import StartupErrors, configure
from api_serving.request_handling.metrics import Metrics, RequestTimer
from api_serving.request_handling.predictor import ConcurrencyLimit, Predictor
from api_serving.request_handling.problems import Problem, problem_docs
from api_serving.request_handling.schemas import (
    BatchRequest,
    BatchResponse,
    ImageReference,
    ModelReference,
    Prediction,
    ServedModel,
    Status,
)
from api_serving.request_handling.uploads import UPLOAD_DOCS, UPLOAD_PATH, BodyLimit, read_upload
from api_serving.settings import Settings

DESCRIPTION: Final = """Predicts what is on an image with the registered champion.

Errors are RFC 9457 problem objects (`application/problem+json`) whose `detail` says what to do."""


@dataclass(frozen=True)
class Services:
    """What the routes work with; built once, when the server starts."""

    settings: Settings
    images: ImageStore
    models: ModelHolder
    predictor: Predictor
    requests: ConcurrencyLimit
    uploads: ConcurrencyLimit


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without `settings` they are read from the environment when the server starts."""
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure()
        chosen = settings or Settings()
        models = ModelHolder(chosen, metrics.count_swap)
        app.state.services = Services(
            settings=chosen,
            images=ImageStore(chosen.image_root),
            models=models,
            predictor=Predictor(chosen.workers, chosen.chunk_size, metrics),
            requests=ConcurrencyLimit(chosen.max_pending, f"{chosen.max_pending} requests are already waiting"),
            uploads=ConcurrencyLimit(chosen.max_uploads, f"{chosen.max_uploads} uploads are already running"),
        )
        loading = asyncio.create_task(models.run(), name="follow the alias")
        yield
        loading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loading

    app = FastAPIOffline(
        redoc_url=None,
        title="Cargo prediction API",
        description=DESCRIPTION,
        version="1",
        lifespan=lifespan,
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
    )
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestTimer, metrics=metrics)
    app.add_middleware(StartupErrors)
    _add_predictions(app)
    _add_state(app, metrics)
    return app


def _add_predictions(app: FastAPI) -> None:
    @app.post("/predict", tags=["predict"], responses=problem_docs(400, 403, 404, 413, 415, 422, 503))
    async def predict(image: ImageReference, services: ServicesDependency) -> Prediction:
        """Predict one image of a data set on the server."""
        model = services.models.require()
        with services.requests.enter():
            read = partial(services.images.read, image.dataset, image.image_path)
            [result] = await services.predictor.predict(model, [read])
        return _or_raise(result)

    @app.post("/predict/batch", tags=["predict"], responses=problem_docs(400, 413, 415, 422, 503))
    async def predict_batch(batch: BatchRequest, services: ServicesDependency) -> BatchResponse:
        """Predict up to 256 images with one model version.

        An image that cannot be predicted gets a problem object in its place; the others are predicted.
        """
        model = services.models.require()
        with services.requests.enter():
            reads = [partial(services.images.read, item.dataset, item.image_path) for item in batch.items]
            results = await services.predictor.predict(model, reads, batch.with_embedding)
        return BatchResponse(results=[item.details() if isinstance(item, Problem) else item for item in results])

    @app.post(
        UPLOAD_PATH, tags=["predict"], openapi_extra=UPLOAD_DOCS, responses=problem_docs(400, 408, 413, 415, 422, 503)
    )
    async def predict_upload(request: Request, services: ServicesDependency) -> Prediction:
        """Predict an image that is sent along: its bytes as the body, or a form with the field `file`."""
        model = services.models.require()
        with services.uploads.enter(), services.requests.enter():
            data = await read_upload(request, services.settings.upload_timeout_s)
            [result] = await services.predictor.predict(model, [lambda: data])
        return _or_raise(result)


def _add_state(app: FastAPI, metrics: Metrics) -> None:
    # Load balancers ask with HEAD.
    @app.head("/livez", include_in_schema=False)
    @app.get("/livez", tags=["state"])
    async def livez() -> Status:
        """The server answers; nothing is said about a model."""
        return Status(status="ok")

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", tags=["state"], responses=problem_docs(503))
    async def readyz(services: ServicesDependency) -> Status:
        """Predictions can be asked for; else a problem that says what is lacking."""
        model = services.models.require()
        return Status(status="ok", model_version=model.info.version, note=services.models.note)

    @app.get("/model", tags=["state"], responses=problem_docs(503))
    async def model(services: ServicesDependency) -> ServedModel:
        """Version, classes and metrics of the model that answers."""
        current = services.models.require()
        return ServedModel(**current.info.model_dump(), note=services.models.note)

    @app.get("/model/reference", tags=["state"], responses=problem_docs(404, 503))
    def model_reference(services: ServicesDependency) -> ModelReference:
        """The served model's answers on held-out images, for telling drift from what it always did."""
        # Not async: some 13000 numbers are turned into JSON, which the event loop should not wait for.
        current = services.models.require()
        reference = current.classifier.reference
        if reference is None:
            raise Problem(
                404,
                "no-reference",
                f"Version {current.info.version} has no drift reference. Train and register a newer one to have it.",
            )
        return ModelReference(model_version=current.info.version, **reference.model_dump())

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def show_metrics(services: ServicesDependency) -> Response:
        """Prometheus metrics."""
        current = services.models.current
        metrics.show_model(current.info if current else None)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _or_raise(result: Prediction | Problem) -> Prediction:
    if isinstance(result, Problem):
        raise result
    return result


app = create_app()
