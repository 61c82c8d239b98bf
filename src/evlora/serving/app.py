"""The routes of a service."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from evlora import __version__
from evlora.errors import EvloraError
from evlora.escaping import in_line
from evlora.limits import limits
from evlora.messages import listed, shown
from evlora.serving.authorization import Authorization
from evlora.serving.decoders import Decoders
from evlora.serving.documents import (
    FAULTS,
    BundleRow,
    Fault,
    PredictAnswer,
    ServingLimits,
    State,
    serving_limits,
)
from evlora.serving.live import answer_camera
from evlora.serving.metrics import CONTENT_TYPE, Metrics
from evlora.serving.overview import overview
from evlora.serving.page_files import FOLDER, PageFiles, paths_of
from evlora.serving.predicting import Wishes, predicted
from evlora.serving.recognizers import Shelf, settings_of
from evlora.serving.refusals import Refusal
from evlora.serving.service import BATCH_WAIT_S, Service

FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["recording"],
                    "properties": {
                        "recording": {
                            "type": "string",
                            "format": "binary",
                            "description": "Events, a video, a picture, or a packed clip; its "
                            "suffix picks the reader.",
                        },
                        "frames": {
                            "type": "string",
                            "format": "binary",
                            "description": "A video or a picture that belongs to the events.",
                        },
                    },
                }
            }
        },
    }
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault, "description": text} for status, text in FAULTS.items()
}
COMMON: dict[int | str, dict[str, Any]] = {401: RESPONSES[401]}


def create_app(
    shelf: Shelf,
    decoders: Decoders,
    *,
    token: str | None = None,
    uploads: Path | None = None,
    page: Path | None = FOLDER,
    batch_wait_s: float = BATCH_WAIT_S,
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        shelf: What is served.
        decoders: What decodes uploads; started and ended with the application.
        token: What clients must give; None lets anyone in.
        uploads: Where uploads lie until they are answered.
        page: The folder of the page; None serves none.
        batch_wait_s: How long a request waits for others that come at the same moment.
    """
    service = Service(shelf, decoders, Metrics(), uploads=uploads, batch_wait_s=batch_wait_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="evlora",
        version=__version__,
        summary="Recognizers of RGB and event cameras.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own loads its scripts from another host
        redoc_url=None,
    )
    app.state.service = service
    _add_states(app, service)
    _add_predict(app, service)
    _add_live(app, service, token)
    _add_faults(app)
    open_paths = frozenset[str]()
    if page is not None and page.is_dir():
        open_paths = paths_of(page)
        files = PageFiles(page)
        # Not mounted at "/", which would answer the wrong method of another route as not found.
        app.router.routes.extend(Route(path, files, methods=["GET"]) for path in open_paths)
    if token is not None:
        app.add_middleware(Authorization, token=token, open_paths=open_paths)
    return app


def _add_states(app: FastAPI, service: Service) -> None:
    """The routes that state what is served and how it is."""

    @app.get("/bundles", responses=COMMON)
    async def bundles() -> list[BundleRow]:
        """The recognizers that are served; the default is asked where a request names none."""
        return [
            BundleRow(name=name, default=number == 0, **settings_of(served))
            for number, (name, served) in enumerate(service.shelf.served.items())
        ]

    @app.get("/limits", responses=COMMON)
    async def limits_() -> ServingLimits:
        """What a client may send."""
        return serving_limits(limits())

    @app.get("/health")
    async def health() -> State:
        """Whether the service runs; answered to anyone."""
        return State(status="ok")

    @app.get("/ready", responses={**COMMON, 503: RESPONSES[503]})
    async def ready() -> State:
        """Whether the service takes requests."""
        if not service.is_ready:
            raise Refusal.for_now(503, "the service is starting or ending; try again in a moment")
        return State(status="ready")

    @app.get("/metrics", response_class=PlainTextResponse, responses=COMMON)
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        service.metrics.inside.set(service.requests.inside)
        service.metrics.cameras.set(service.cameras.inside)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        """The routes as a page without scripts."""
        return overview(app.openapi())


def _add_predict(app: FastAPI, service: Service) -> None:
    size = Query(ge=1, le=65535, description="Of the sensor, where no header states it.")

    @app.post(
        "/predict",
        openapi_extra=FORM,
        responses=RESPONSES,
        response_model_exclude_none=False,
        response_model_exclude_unset=True,
    )
    async def predict(
        request: Request,
        *,
        bundle: Annotated[str | None, Query(description="Its name; the first by default.")] = None,
        top: Annotated[int, Query(ge=1, le=1000, description="Labels in the answer.")] = 5,
        moments: Annotated[bool, Query(description="The answer after each moment too.")] = False,
        pictures: Annotated[bool, Query(description="What the network sees, as PNG.")] = False,
        relevance: Annotated[bool, Query(description="Which patches count, as PNG.")] = False,
        without: Annotated[
            Literal["rgb", "event"] | None, Query(description="A modality that is hidden.")
        ] = None,
        width: Annotated[int | None, size] = None,
        height: Annotated[int | None, size] = None,
    ) -> PredictAnswer:
        """Ranked labels for a recording of any format that evlora reads."""
        wishes = Wishes(
            bundle, top, moments, pictures, relevance, without, {"width": width, "height": height}
        )
        known = bundle if bundle in service.shelf.served else ""
        try:
            with service.requests.enter():
                answer = await predicted(service, request, wishes)
        except Refusal as refusal:
            service.metrics.requests.labels(known, str(refusal.status)).inc()
            raise
        service.metrics.requests.labels(answer.bundle, "200").inc()
        service.metrics.seconds.observe(answer.timing_ms.total / 1e3)
        for stage in ("reading", "drawing", "network"):
            spent_s = getattr(answer.timing_ms, stage) / 1e3
            service.metrics.stages.labels(stage).observe(spent_s)
        return answer


def _add_live(app: FastAPI, service: Service, token: str | None) -> None:
    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await answer_camera(service, socket, token)


def _add_faults(app: FastAPI) -> None:
    """Every fault is one sentence in JSON: no traceback, no place on this machine."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, Refusal)
        return _fault(refusal.status, refusal.reason, refusal.headers)

    @app.exception_handler(EvloraError)
    async def mistaken(_: Request, error: Exception) -> JSONResponse:
        return _fault(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [
            f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}, got {shown(fault['input'])}"
            for fault in error.errors()
        ]
        return _fault(422, f"{listed(faults)}; /docs lists what can be asked")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        asked = f"{request.method} {shown(request.url.path)}"
        return _fault(
            error.status_code, f"{asked}: {error.detail}; /docs lists what there is", error.headers
        )

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return _fault(500, "the service has failed at this request; the reason is in its log")


def _fault(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        Fault(error=in_line(reason)).model_dump(), status_code=status, headers=headers
    )
