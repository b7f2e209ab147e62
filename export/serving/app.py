"""The paths that are served, and what holds for every one of them: hosts, headers, log, numbers, errors as JSON."""
import asyncio
import contextlib
import hashlib
import json
import logging
import re
import time
from pathlib import Path
from typing import Annotated

import orjson
import prometheus_client
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from export import FORMAT
from export.serving import limits, making, rest
from export.serving.limits import Refusal, shown
from export.serving.making import MakeQuery
from export.serving.pictures import AnimationQuery, GridQuery, ImageQuery

ACCESS, LOG = logging.getLogger("export.access"), logging.getLogger("export.serve")

PAGE = Path(__file__).parents[1] / "page"
# suffix -> type of the page's files: all that is ever read from there, once, at the start
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_PATHS = {"/index.html": "/", "/rest.js": "/generator.js"}  # of files that are served under another name
_WEB = "litert.js"  # the web export's generator.js
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy",
     b"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"),
]
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}

# === For the OpenAPI description ===

_ERROR = {"content": {"application/json": {"schema": {
    "type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}}}}
_ERRORS = {status: {"description": text, **_ERROR} for status, text in {
    400: "a value is wrong, and the error names it", 404: "not there", 408: "the body took too long",
    413: "more than --max_batch rows or --max_body bytes", 429: "more than --max_queue rows wait, or too many pictures",
    503: "no model is loaded, or the server is being stopped"}.items()}


def _errors(*statuses):
    return {status: _ERRORS[status] for status in statuses}


def _file(media_type):
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}},
            304: {"description": "as If-None-Match says"}, **_errors(400, 404, 429, 503)}


_TENSOR = {"description": "a number or nested lists of numbers"}
_PREDICT = {"required": True, "content": {"application/json": {"schema": {
    "type": "object", "additionalProperties": False,
    "properties": {
        "signature_name": {"type": "string", "default": "serving_default"},
        "instances": {"type": "array", "items": _TENSOR, "description": "row format"},
        "inputs": {**_TENSOR, "description": "column format"}},
    "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]}}}}


# === Every request ===

class Gate:
    """ASGI middleware: refuses unknown hosts, answers HEAD as GET, adds headers, and counts and logs each request."""

    def __init__(self, app, service):
        self.app, self.service = app, service

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, started, status, size = time.perf_counter(), False, 500, 0
        inner = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}

        async def answer(message):
            nonlocal started, status, size
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                closing = [(b"connection", b"close")] if self.service.draining or status == 408 else []
                message = {**message, "headers": [*message["headers"], *HEADERS, *closing]}
            elif scope["method"] != "HEAD":  # of which no body is sent
                size += len(message.get("body", b""))
            await send(message)

        try:
            await (self._refusal(inner) or self.app)(inner, receive, answer)
        except asyncio.CancelledError:  # the time to finish in is over; uvicorn would have a traceback and plain text
            if not self.service.draining:
                raise
            if not started:
                await _error(503, "the server is being stopped", {"Retry-After": "1"})(inner, receive, answer)
        except Exception:
            LOG.exception("%s %s", scope["method"], shown(scope["path"]))
            if not started:
                await _error(500, "a fault of the server; its log has more")(inner, receive, answer)
        finally:
            self._note(scope, inner, status, size, time.perf_counter() - start)

    def _refusal(self, scope):
        """A response to a host that is not allowed: a page of another site whose name was rebound to this address."""
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        name, allowed = re.sub(r":\d*$", "", host).lower(), self.service.allowed_hosts
        # probes come to the address of a container, and learn nothing
        if "*" in allowed or name in allowed or scope["path"] in ("/healthz", "/readyz"):
            return None
        return _error(400, f"host: {shown(host) or 'none'} is not served here; start with --allowed_hosts to allow it")

    def _note(self, scope, inner, status, size, seconds):
        path = getattr(inner.get("route"), "path", "other")  # not what was asked for: that has no end
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.service.metrics.requests.labels(method, path, status).inc()
        self.service.metrics.seconds.labels(path).observe(seconds)
        query = scope["query_string"].decode("latin-1")
        ACCESS.info(json.dumps({
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "method": shown(scope["method"]),
            "path": shown(scope["path"] + (f"?{query}" if query else ""), 500), "status": status,
            "ms": round(1000 * seconds, 2), "bytes": size, "client": (scope.get("client") or ("",))[0]}))


def _error(status, message, headers=None):
    return Response(orjson.dumps({"error": message}), status, headers, "application/json")


async def _refuse(_, refusal):
    return _error(refusal.status, refusal.message, refusal.headers)


async def _refuse_values(_, error):
    """Pydantic's first complaint as a sentence with the field's name."""
    first = error.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "extra_forbidden":
        return _error(400, f"{shown(field)}: no such parameter")
    return _error(400, f"{shown(field)}={shown(first.get('input'))}: {first['msg'].removeprefix('Value error, ')}")


async def _refuse_path(request, error):
    told = {404: "no such path; /openapi.json has those there are",
            405: f"{request.method} is not for this path"}.get(error.status_code, str(error.detail))
    return _error(error.status_code, f"{shown(request.scope['path'])}: {told}", error.headers)


# === The paths ===

def create(service, give_up, ready=lambda: None):
    """The ASGI application of a Service. `ready` is called once there is a model, `give_up` if there is none to begin with."""
    @contextlib.asynccontextmanager
    async def life(_):
        task = asyncio.create_task(service.watch(give_up, ready))
        yield
        task.cancel()

    app = FastAPI(title=service.name, version="1", description="The generator of a GAN.", lifespan=life,
                  docs_url=None, redoc_url=None, redirect_slashes=False,  # those pages load from elsewhere
                  servers=[{"url": ".", "description": "where this description is, below a path of a proxy's, too"}])
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_values)
    app.add_exception_handler(HTTPException, _refuse_path)
    _add_pictures(app, service)
    _add_make(app, service)
    _add_rest(app, service)
    _add_health(app, service)
    _add_page(app)
    app.add_middleware(Gate, service=service)
    for path in app.openapi()["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # FastAPI's own; here it is 400
    return app


def _single(request: Request):
    """A parameter that is given twice has no meaning."""
    names = [name for name, _ in request.query_params.multi_items()]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Refusal(400, f"{shown(twice[0])}: given more than once")


def _add_pictures(app, service):
    def add(path, kind):
        @app.get(path, responses=_file(kind.media_type), response_class=Response, name=path[1:],
                 description=kind.__doc__)
        async def picture(request: Request, query: Annotated[kind, Query()]):
            _single(request)
            model = service.drawn()
            query.check(model, service.limits.max_images)
            # of all that the bytes depend on
            etag = _etag(model.digest, service.programs, path, query.model_dump_json())
            if _unchanged(request, etag):
                return Response(status_code=304, headers={**_revalidated(etag), **_by(model)})
            pixels = query.pixels(model)
            with service.studio.room(pixels):
                latents = await service.latents(model, query.seeds())
                samples = await service.samples(model, query.inputs(model, latents))
                content = await service.studio.make(pixels, request, query.file, samples, model)
            return Response(content, 200, {**_revalidated(etag), **_by(model)}, kind.media_type)

    add("/image.png", ImageQuery)
    add("/grid.png", GridQuery)
    add("/interpolate.gif", AnimationQuery)


def _add_make(app, service):
    @app.get("/generator.json", responses=_errors(400, 404, 503), name="generator")
    async def generator():
        """What the generator is, for programs that draw with it."""
        model = service.told()
        contract = {name: model.contract.get(name) for name in ("model", "dataset", "step", "label", "output", "noise")}
        kind = {"image": "images", "signal": "signals"}.get(model.kind, model.kind)  # as it was called at first
        return Response(orjson.dumps({
            "format": FORMAT, "name": service.name, "version": model.version, **contract, "functions": model.told(), "kind": kind,
            "truncation": model.truncation, "directions": len(model.directions), "behind": model.behind(),
            "limits": {"max_images": service.limits.max_images, "max_scale": limits.MAX_SCALE,
                       "max_body": service.limits.max_body, "max_pixels": service.limits.max_pixels}}),
            media_type="application/json", headers={"Cache-Control": "no-cache", **_by(model)})

    @app.post("/make/{function}", name="make", openapi_extra={"requestBody": making.FORM}, response_class=Response,
              responses={200: {"content": making.ANSWER}, **_errors(400, 404, 408, 413, 429, 503)})
    async def make(request: Request, function: str, query: Annotated[MakeQuery, Query()]):
        """One of the functions in /generator.json, of one example: its output comes back as a file."""
        _single(request)
        model = service.told()
        asked = model.functions.get(function)
        if asked is None:
            raise Refusal(404, f"function {shown(function)}: not there; there are {', '.join(model.functions)}")
        name, media, more = query.chosen(asked)
        body = await _body(request, service.limits)
        form = await making.form(request, body, model, asked)
        with service.studio.room(form.values(service.limits.max_pixels)):
            inputs = await service.studio.make(len(body), request, form.read, service.limits.max_pixels)
            if form.query:
                inputs[asked.of("noise")] = form.query.cut(model, await service.latents(model, form.query.seeds()))
            joins = making.joins(inputs, service.limits.max_batch)
            outputs = await service.call(model.signatures[asked.signature], inputs, 1, joins)
            sample = outputs[name][0]
            content = await service.studio.make(sample.size, request, making.file, sample, name, asked.outputs[name], media,
                                                more)
        return Response(content, 200, {"Cache-Control": "no-store", **_by(model)}, media)


def _by(model):
    """The header that says which model made an answer: another may take its place at any time, and a page notices by it."""
    return {"X-Model": f"{model.version}-{model.digest[:16]}"}


def _etag(*parts):
    return f'"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"'


def _unchanged(request, etag):
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in re.findall(r'"[^"]*"', known)


def _revalidated(etag):
    # another model may be served at any time: caches ask, and are answered without a call of the model
    return {"ETag": etag, "Cache-Control": "public, no-cache"}


def _add_rest(app, service):
    root = f"/v1/models/{service.name}"
    some = {"responses": _errors(400, 404, 503)}

    @app.get(root, name="status", **some)
    @app.get(f"{root}/versions/{{version}}", name="status of a version", **some)
    async def status(version: int | None = None):
        model = service.versions.current
        if model is None and version is None:
            return _status(0, "LOADING")
        return _status(service.model(version).version, "AVAILABLE")

    @app.get(f"{root}/metadata", name="metadata", **some)
    @app.get(f"{root}/versions/{{version}}/metadata", name="metadata of a version", **some)
    async def metadata(version: int | None = None):
        model = service.model(version)
        return {"model_spec": {"name": service.name, "signature_name": "", "version": str(model.version)},
                "metadata": {"signature_def": {"signature_def": model.metadata}}}

    @app.post(f"{root}:predict", name="predict", openapi_extra={"requestBody": _PREDICT},
              responses=_errors(400, 404, 408, 413, 429, 503))
    @app.post(f"{root}/versions/{{version}}:predict", name="predict with a version",
              openapi_extra={"requestBody": _PREDICT}, responses=_errors(400, 404, 408, 413, 429, 503))
    async def predict(request: Request, version: int | None = None):
        """TensorFlow Serving's predict. The body is read as JSON whatever its Content-Type says, as there."""
        model = service.model(version)
        body = await _body(request, service.limits)
        signature, inputs, rows, key = await asyncio.to_thread(rest.read, body, model, service.limits.max_batch)
        outputs = await service.call(signature, inputs, rows)
        return Response(await asyncio.to_thread(rest.answer, outputs, key, rows), media_type="application/json")


def _status(version, state):
    return {"model_version_status": [{"version": str(version), "state": state,
                                      "status": {"error_code": "OK", "error_message": ""}}]}


async def _body(request, limits):
    """The bytes of a body, whatever its Content-Length says. What comes after a refusal is thrown away by uvicorn."""
    async def read():
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > limits.max_body:
                raise too_long
        return bytes(body)

    too_long = Refusal(413, f"body: more than {limits.max_body} bytes (--max_body)")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.max_body:
        raise too_long
    try:
        return await asyncio.wait_for(read(), limits.client_timeout)
    except asyncio.TimeoutError:
        raise Refusal(408, f"body: not complete after {limits.client_timeout:g} s (--client_timeout)") from None
    except ClientDisconnect:
        raise Refusal(400, "body: it ended early") from None


def _add_health(app, service):
    plain = {"response_class": PlainTextResponse}

    @app.get("/healthz", **plain)
    async def healthz():
        """The process answers."""
        return "ok"

    @app.get("/readyz", responses=_errors(503), **plain)
    async def readyz():
        """A model is loaded, and the server is not being stopped."""
        if service.draining:
            raise Refusal(503, "the server is being stopped")
        return f"version {service.model().version}"

    @app.get("/metrics", **plain)
    async def metrics():
        """Numbers for Prometheus."""
        return Response(prometheus_client.generate_latest(service.metrics.registry),
                        media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _add_page(app, folder=None):
    def add(path, content, media_type):
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

        @app.get(path, include_in_schema=False)
        async def file(request: Request):
            unchanged = _unchanged(request, etag)
            return Response(b"" if unchanged else content, 304 if unchanged else 200, _revalidated(etag), media_type)

    folder = folder or PAGE
    for file in sorted(folder.rglob("*")):
        path = f"/{file.relative_to(folder).as_posix()}"
        if file.suffix in _TYPES and file.name != _WEB:
            add(_PATHS.get(path, path), file.read_bytes(), _TYPES[file.suffix])
    if not (folder / "index.html").is_file():
        add("/", b"A generator: /image.png?seed=0, /grid.png?seed=0, /openapi.json\n", "text/plain; charset=utf-8")
