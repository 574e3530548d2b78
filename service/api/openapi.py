"""Routes and their OpenAPI document, from one declaration.

`Api` is flask-openapi3's blueprint: it reads the models from a handler's annotations (`path`, `query`,
`header`, `body`) and collects the OpenAPI 3.1 document from them. Requests are
read by `parsing`, because flask-openapi3 accepts broken JSON, wrong types and repeated parameters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ClassVar

from flask import Response
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
from service.api.response_models import Problem

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


def _view(func: Handler, header: Any, cookie: Any, path: Any, query: Any, form: Any, body: Any,
          raw: Any, **_: Any) -> Callable[..., Response]:  # fmt: skip
    """Return the view that Flask calls: it reads and checks every argument of `func`."""

    @wraps(func)
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
        return func(**taken)

    return view


class Api(APIBlueprint):
    """The routes below `/api/v1`, added with `add`."""

    create_view_func = staticmethod(_view)  # type: ignore[assignment]

    #: Components in addition to those that handlers name.
    shared_models: ClassVar[tuple[type[BaseModel], ...]] = (Problem,)

    def __init__(self) -> None:
        super().__init__("api", __name__, url_prefix=PREFIX)
        self._answers: list[type[BaseModel]] = list(self.shared_models)
        self._bodies: list[type[BaseModel]] = []

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
        hints = inspect.signature(handler, eval_str=True).parameters
        body = hints["body"].annotation if "body" in hints else None
        expected = {*ALWAYS, *raises, *(WITH_BODY if body else ())}
        responses: dict[int | str, Any] = {
            status: _success(shape, self._component, headers) for status, shape in returns.items()
        }
        for status, codes in _by_status(expected).items():
            responses[status] = _failure(codes)
        for status in (*refuses, *((_UNSUPPORTED_MEDIA_TYPE,) if body else ())):
            responses[status] = _failure(["invalid_request"])
        summary, text = _described(handler)
        register = getattr(self, method.lower())(
            rule,
            tags=[Tag(name=tag)],
            operation_id=handler.__name__,
            summary=summary,
            description=text or summary,
            responses=responses,
            validate_response=False,
        )
        register(handler)
        if body:
            self._describe_body(method, rule, body)

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
