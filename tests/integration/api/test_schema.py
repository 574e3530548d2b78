"""REST: what the OpenAPI document says holds, by schemathesis with all its checks.

The settings are those of schemathesis.toml in the root, so `st run <url>/api/v1/openapi.json` there does
the same against a service that runs, with as many examples as you like.

schemathesis is imported where it is used: that takes more than a second, and every process of tests reads this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from service.api import awaited
from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from tests.support.clients.rest import Rest, rest
from tests.support.sizes import sampled

ROOT = Path(__file__).parents[3]
#: Sessions, data keys and jobs that are there, for requests that get further than 404.
SESSION = "kiosk-7"
ARCHIVED = "kiosk-8"
#: Per operation and mode.
EXAMPLES = sampled(30, 3)


def shorter(value: Any) -> Any:
    """JSON without integers beyond 64 bits: a schema cannot tell them from numbers that may be as large."""
    if isinstance(value, dict):
        return {name: shorter(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shorter(one) for one in value]
    is_long = isinstance(value, int) and not -(1 << 63) <= value < 1 << 64
    return float(value % 1000) if is_long else value


@pytest.fixture(scope="module")
def api(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    files = FileArchiveStore(tmp_path_factory.mktemp("schema") / "archive")
    files.open(files.claim())
    with rest(redis_url, "t-schema") as made:
        made.manager.core.archiver = Archiver(made.store, Archive(files))
        yield made
        for key in made.redis.scan_iter("*t-schema*"):
            made.redis.delete(key)


@pytest.fixture(scope="module")
def description(api: Rest, request: pytest.FixtureRequest) -> Any:
    import schemathesis
    from schemathesis.config import SchemathesisConfig

    patch = pytest.MonkeyPatch()
    patch.setattr(awaited, "WAIT_S", 0.0)  # no worker is there
    request.addfinalizer(patch.undo)
    config = SchemathesisConfig.from_path(ROOT / "schemathesis.toml")
    loaded = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", api.app, config=config)

    @loaded.hook
    def map_path_parameters(context: Any, parameters: dict[str, Any] | None) -> Any:
        if parameters and len(str(parameters.get("session_id", ""))) % 2:
            is_file = "/archive/" in context.operation.path
            parameters["session_id"] = ARCHIVED if is_file else SESSION
        return parameters

    @loaded.hook
    def map_query(_context: Any, query: dict[str, Any] | None) -> Any:
        if query and isinstance(query.get("wait_s"), int | float) and 0 <= query["wait_s"] <= 50:
            query["wait_s"] = 0  # no command comes
        return query

    @loaded.hook
    def map_body(_context: Any, body: Any) -> Any:
        if isinstance(body, dict) and body.get("wait") in ("delivered", "result"):
            body["wait"] = "queued"  # nobody answers here, and a 504 would be right
        return shorter(body)

    return loaded


@pytest.fixture(autouse=True)
def session(api: Rest) -> None:
    if api.store.index.get(SESSION) is None:
        api.device(SESSION, meta={"model": "m"}, session_name="Hall", project_id="berlin")
        api.manager.update_telemetry(SESSION, {"speed": 1.5, "name": "x"})
        api.manager.update_setup(SESSION, {"interval_s": 5})
    archiver = api.manager.archiver
    assert archiver is not None
    if api.store.archive_index.name_of(ARCHIVED) is None:
        api.store.ownership.create(ARCHIVED)
        api.store.cleanup.deactivate([ARCHIVED])
        archiver.archive_sessions([ARCHIVED])


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_api_does_what_its_description_says(
    description: Any, kind: str, subtests: pytest.Subtests
) -> None:
    """Right requests and wrong ones, for every operation."""
    from schemathesis import GenerationMode

    mode = GenerationMode(kind)
    count = 0
    for found in description.get_all_operations():
        operation = found.ok()
        count += 1
        may_be_wrong = operation.query or operation.body  # ids and headers may be any text
        if mode is GenerationMode.NEGATIVE and not may_be_wrong and sampled(False, True):
            continue  # it is long searched for an example

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            # its client says that it takes gzip, and does not unpack it
            case.call_and_validate(headers={"Accept-Encoding": "identity"})

        with subtests.test(operation.label):
            try:
                ask()
            except hypothesis.errors.Unsatisfiable:
                pass  # nothing about it can be wrong
    assert count > 25
