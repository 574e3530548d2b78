"""Routes and their OpenAPI document, from one declaration.

`Api` is Flask's blueprint: a handler's annotations (`path`, `query`, `header`, `body`) are the models of its
requests, which `parsing` reads. flask-openapi3 collects the OpenAPI 3.1 document from them, and has no part in
requests: it accepts broken JSON, wrong types and repeated parameters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any

from flask import Blueprint, Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models import APISpec
from flask_openapi3.models.info import Info
from flask_openapi3.models.operation import Operation
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from service import errors
from service.api import parsing, problems
from service.api.examples import add_examples
from service.api.models.responses import Problem

PREFIX = "/api/v1"
DOCUMENT = PREFIX + "/openapi.json"

#: Errors that any request may get, in addition to those that a route names.
ALWAYS = (
    errors.InvalidRequest,
    errors.NotAuthenticated,
    errors.NotAllowed,
    errors.Internal,
    errors.StoreUnavailable,
    errors.Draining,
)
#: And any request with a body.
WITH_BODY = (errors.TooLarge,)
_UNSUPPORTED_MEDIA_TYPE = 415

Handler = Callable[..., Response]
#: Content of a successful answer: the model of its JSON; or, by media type, a model, None for text, or
#: `bytes`; None: no content.
Shape = type[BaseModel] | Mapping[str, type[BaseModel] | type[bytes] | None] | None


#: The arguments that a handler may take, each a model.
ARGUMENTS = ("path", "query", "header", "body")


@dataclass(frozen=True, slots=True)
class Route:
    """A route as it is declared; where its method, rule and handler are the same, all is."""

    method: str
    rule: str
    handler: Callable[..., Any]  #: the function, of whatever object
    tag: str = field(compare=False)
    returns: Mapping[int, Shape] = field(compare=False)
    raises: tuple[type[errors.ServiceError], ...] = field(compare=False)
    headers: tuple[str, ...] = field(compare=False)
    refuses: tuple[int, ...] = field(compare=False)

    @property
    def models(self) -> dict[str, type[BaseModel]]:
        """Return the model of each argument that the handler takes."""
        taken = inspect.signature(self.handler, eval_str=True).parameters
        return {name: taken[name].annotation for name in ARGUMENTS if name in taken}


def _view(handler: Handler, models: Mapping[str, Any]) -> Callable[..., Response]:
    """Return the view that Flask calls: it reads and checks every argument of `handler`."""
    path, query, header, body = (models.get(name) for name in ARGUMENTS)

    @wraps(handler)
    def view(**segments: str) -> Response:
        taken: dict[str, Any] = {}
        if path:
            taken["path"] = parsing.read_path(path, segments)
        if query:
            taken["query"] = parsing.read_query(query)
        else:
            parsing.read_query(parsing.Query)
        parsing.refuse_conditions(header)
        if header:
            taken["header"] = parsing.read_headers(header)
        if body:
            taken["body"] = parsing.read_body(body)
        else:
            parsing.refuse_body()
        return handler(**taken)

    return view


class Api(Blueprint):
    """The routes below `/api/v1`, added with `add`."""

    def __init__(self) -> None:
        super().__init__("api", __name__, url_prefix=PREFIX)
        self._routes: list[Route] = []

    def add(
        self,
        method: str,
        rule: str,
        handler: Handler,
        *,
        tag: str,
        returns: Mapping[int, Shape],
        raises: Iterable[type[errors.ServiceError]] = (),
        headers: Iterable[str] = (),
        refuses: Iterable[int] = (),
    ) -> None:
        """Add a route. The handler's docstring is its description, the function's name its operationId.

        Args:
            method: the HTTP method.
            rule: a Flask rule, with ids as `<segment:name>`.
            handler: takes any of `path`, `query`, `header`, `body` by keyword, each a model.
            tag: the group that lists it.
            returns: content of successful answers by status.
            raises: errors in addition to those that any request may get.
            headers: names of the headers of successful answers.
            refuses: other statuses it may answer, all with the code `invalid_request`.
        """
        plain = getattr(handler, "__func__", handler)
        route = Route(
            method, rule, plain, tag, returns, tuple(raises), tuple(headers), tuple(refuses)
        )
        self._routes.append(route)
        self.add_url_rule(rule, view_func=_view(handler, route.models), methods=[method])

    def document(self, version: str) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of all routes added so far."""
        return _describe(tuple(self._routes), version)


@cache
def _describe(routes: tuple[Route, ...], version: str) -> dict[str, Any]:
    """Return the document of these routes: made once for all nodes of a process, and not to be changed."""
    description = _Description()
    for route in routes:
        description.add(route)
    return description.document(version)


class _Description(APIBlueprint):
    """Collects the document; no request comes here."""

    create_view_func = staticmethod(lambda func, *_, **__: func)

    def __init__(self) -> None:
        super().__init__("api", __name__, url_prefix=PREFIX)
        self._answers: list[type[BaseModel]] = [Problem]
        self._bodies: list[type[BaseModel]] = []

    def add(self, route: Route) -> None:
        """Add what `Api.add` was given."""
        body = route.models.get("body")
        expected = {*ALWAYS, *route.raises, *(WITH_BODY if body else ())}
        responses: dict[int | str, Any] = {
            status: _success(shape, self._component, route.headers)
            for status, shape in route.returns.items()
        }
        for status, codes in _by_status(expected).items():
            responses[status] = _failure(codes)
        for status in (*route.refuses, *((_UNSUPPORTED_MEDIA_TYPE,) if body else ())):
            responses[status] = _failure(["invalid_request"])
        summary, text = _described(route.handler)
        register = getattr(self, route.method.lower())(
            route.rule,
            tags=[Tag(name=route.tag)],
            operation_id=route.handler.__name__,
            summary=summary,
            description=text or summary,
            responses=responses,
            validate_response=False,
        )
        register(route.handler)
        if body:
            self._describe_body(route.method, route.rule, body)

    def _describe_body(self, method: str, rule: str, body: type[BaseModel]) -> None:
        """Add what flask-openapi3 cannot declare: other media types, and optional bodies."""
        self._bodies.append(body)
        path = PREFIX + re.sub(r"<segment:(\w+)>", r"{\1}", rule)
        request_body = getattr(self.paths[path], method.lower()).requestBody
        request_body.required = not getattr(body, "optional", False)
        kinds = getattr(body, "media_types", (parsing.JSON,))
        schema = request_body.content[parsing.JSON]
        request_body.content = dict.fromkeys(kinds, schema)

    def _component(self, model: type[BaseModel]) -> dict[str, str]:
        """Make the model a component and return a reference to it."""
        self._answers.append(model)
        return {"$ref": f"#/components/schemas/{model.__name__}"}

    def _add_reserved_ids(self) -> None:
        """Describe fixed path words as ids: `GET /sessions/cleanup` is about the session `cleanup`."""
        for path, item in list(self.paths.items()):
            parent, _, word = path.rpartition("/")
            for other, general in self.paths.items():
                name = re.fullmatch(re.escape(parent) + r"/\{(\w+)\}", other)
                if not name or word.startswith("{"):
                    continue
                for method in ("get", "put", "post", "delete", "patch"):
                    operation = getattr(general, method)
                    if operation is not None and getattr(item, method) is None:
                        setattr(item, method, _of_word(operation, name[1], word))

    def document(self, version: str) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of all routes added so far."""
        self._add_reserved_ids()
        about = Info(
            title="Muster",
            version=version,
            description="Sessions of a device fleet. Guarantees, the encoding of ids in paths, and "
            "examples are in docs/api.md.",
        )
        spec = APISpec(openapi="3.1.0", info=about, paths=self.paths, tags=self.tags)
        shown: dict[str, Any] = spec.model_dump(
            mode="json", by_alias=True, exclude_unset=True, warnings=False
        )
        for item in shown["paths"].values():
            for operation in item.values():
                if operation["description"] == operation["summary"]:
                    del operation["description"]
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
        add_examples(shown)
        # pydantic's own schemas: flask-openapi3's model of a schema does not know all keywords
        answers: list[tuple[type[BaseModel], JsonSchemaMode]]
        answers = [(model, "serialization") for model in dict.fromkeys(self._answers)]
        bodies: list[tuple[type[BaseModel], JsonSchemaMode]]
        bodies = [(model, "validation") for model in dict.fromkeys(self._bodies)]
        _, schemas = models_json_schema(
            [*answers, *bodies], ref_template="#/components/schemas/{model}"
        )
        # `{}` as well: with `auth.mode` open no token is needed
        shown["components"] = {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        }
        shown["security"] = [{"token": []}, {}]
        return shown


def _of_word(operation: Operation, name: str, word: str) -> Operation:
    """Return the same operation for the session, or other item, whose id is this word."""
    return operation.model_copy(
        update={
            "operationId": f"{operation.operationId}_{word}",
            "summary": f"{operation.summary} (the one whose id is `{word}`)",
            "parameters": [one for one in operation.parameters or () if one.name != name],
        }
    )


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional parameter, without null: a query cannot send null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "title")}
    if rest.get("default", 0) is None:
        del rest["default"]
    if len(kinds) == 1:
        return {**rest, **kinds[0]}
    return {**rest, "anyOf": kinds} if kinds else rest


def _described(handler: Handler) -> tuple[str, str]:
    """Return the first line of the docstring, and the rest without the sections for programmers."""
    summary, _, rest = (inspect.getdoc(handler) or handler.__name__).partition("\n")
    text = re.split(r"^(?:Args|Raises|Returns|Redis):$", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return summary.rstrip("."), text.strip()


def _by_status(kinds: Iterable[type[errors.ServiceError]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code)):
        found.setdefault(kind.status, []).append(kind.code)
    return found


def _failure(codes: list[str]) -> dict[str, Any]:
    return {
        "description": " or ".join(f"`{code}`" for code in codes),
        "content": {
            problems.CONTENT_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
        },
    }


def _success(
    shape: Shape, component: Callable[[type[BaseModel]], dict[str, str]], headers: Iterable[str]
) -> dict[str, Any]:
    kinds = {parsing.JSON: shape} if isinstance(shape, type) else dict(shape or {})
    content: dict[str, Any] = {}
    for kind, model in kinds.items():
        if model is None:
            content[kind] = {"schema": {"type": "string"}}
        elif issubclass(model, BaseModel):
            content[kind] = {"schema": component(model)}
        else:
            content[kind] = {"schema": {}}  # raw bytes, which JSON Schema cannot describe
    answer: dict[str, Any] = {"description": "Success." if content else "Success, no content."}
    if content:
        answer["content"] = content
    named = {name: {"schema": {"type": "string"}} for name in headers}
    if named:
        answer["headers"] = named
    return answer
