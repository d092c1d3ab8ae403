"""What Prometheus reads. Every label comes from a small set: route templates, status codes, classes, versions."""

import time
from collections.abc import Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_serving.models.model_holder import SwapOutcome
from api_serving.models.model_metadata import ModelInfo
from api_serving.request_handling.problems import Problem
from api_serving.request_handling.schemas import Prediction


class Metrics:
    """One application's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "api_request_seconds",
            "Seconds from request to the end of the answer",
            ["route", "status"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.inference_seconds = Histogram(
            "api_inference_seconds",
            "Seconds in the model for one chunk of images",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        self._predicted = Counter(
            "api_images_predicted", "Images predicted", ["class_name", "model_version"], registry=self.registry
        )
        self._refused = Counter("api_images_refused", "Images refused", ["status"], registry=self.registry)
        self._swaps = Counter(
            "api_model_swaps", "Attempts to take over another version", ["outcome"], registry=self.registry
        )
        for outcome in get_args(SwapOutcome):
            self._swaps.labels(outcome)
        self._model = Gauge(
            "api_model_info", "1 for the model that answers", ["name", "version", "run_id"], registry=self.registry
        )

    def count_results(self, model_version: str, results: Sequence[Prediction | Problem]) -> None:
        """Count a chunk's results."""
        for result in results:
            if isinstance(result, Problem):
                self._refused.labels(str(result.status_code)).inc()
            else:
                self._predicted.labels(result.class_name, model_version).inc()

    def count_swap(self, outcome: SwapOutcome) -> None:
        """Count an attempt to take over another version."""
        self._swaps.labels(outcome).inc()

    def show_model(self, info: ModelInfo | None) -> None:
        """Say which model answers; call before each scrape."""
        self._model.clear()
        if info is not None:
            self._model.labels(info.name, info.version, info.run_id).set(1)


class RequestTimer:
    """Times every request under its route's template, so that odd addresses make no new series."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        start = time.perf_counter()

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(status)).observe(time.perf_counter() - start)
