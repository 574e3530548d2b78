"""What goes from a page to the service and back: numbers, setups, jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from rq.job import Job
from rq.serializers import JSONSerializer

from service.config.loader import queue_name
from service.redis_access.job_queue import JobQueue
from tests.browser.conftest import OpenTab
from tests.support.clients.logins import token
from tests.support.nodes.furnished import Fleet

MOST = 2**64 - 1


def test_integer_keeps_every_digit_from_the_device_to_the_page_and_back(
    fleet: Fleet, tab: OpenTab
) -> None:
    """A browser's own numbers end at 2^53: a command that is repeated would be another one."""
    meter = fleet.device("meter-1", 0)
    seen = tab()
    page = seen.page
    seen.sign_in(fleet.urls[1], token("operator"), "/sessions/meter-1")
    page.get_by_text("No data yet").wait_for()
    meter.ok("update_data", {"data": {"serial": MOST, "nested": {"n": [MOST - 2]}}})
    page.get_by_role("row").filter(has_text=str(MOST)).wait_for()  # live
    page.reload()
    page.get_by_role("row").filter(has_text=str(MOST - 2)).wait_for()  # read
    page.get_by_role("tab", name="Commands").click()
    page.get_by_label("Command", exact=True).fill("adopt")
    page.get_by_label("Parameters").fill(f'{{"serial": {MOST}}}')
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Repeat").click()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Repeat").nth(1).wait_for()
    sent = fleet.service.manager.get_commands("meter-1")
    assert [command["params"] for command in sent] == [{"serial": MOST}] * 2


def test_setup_is_compared_with_what_the_device_runs_though_the_page_never_saw_it(
    fleet: Fleet, tab: OpenTab
) -> None:
    device = fleet.device("behind-1", 0)
    fleet.service.manager.update_setup("behind-1", {"a": 1, "serial": MOST})
    device.ok("update_setup", {"reported_version": 1})
    fleet.service.manager.update_setup("behind-1", {"a": 2, "serial": MOST})
    seen = tab()
    seen.sign_in(fleet.urls[0], token("operator"), "/sessions/behind-1?tab=setup")
    changes = seen.page.get_by_role("region", name="Differences")
    changes.get_by_text("removed:").wait_for()
    assert str(MOST) in changes.inner_text()
    seen.page.get_by_text("1 line more, 1 fewer than in version 1.").wait_for()


@pytest.fixture
def failing(fleet: Fleet) -> Iterator[str]:
    """A job that fails whenever it runs."""
    client = redis.Redis.from_url(fleet.service.cluster.server.url)
    name = queue_name(fleet.service.config.redis.key_prefix)
    job_id = JobQueue(client, name)._enqueue("nothing_of_that_name", [], "failing", 10)
    yield job_id
    Job.fetch(job_id, connection=client, serializer=JSONSerializer).delete()
    client.close()


def test_job_that_failed_is_run_again(fleet: Fleet, tab: OpenTab, failing: str) -> None:
    seen = tab()
    page = seen.page
    seen.sign_in(fleet.urls[0], token("admin"), "/jobs")
    row = page.get_by_role("row").filter(has_text="nothing of that name")
    row.get_by_text("failed", exact=True).wait_for()
    ended = row.get_by_role("time").or_(row.locator("time")).first.get_attribute("datetime")
    row.get_by_role("button", name="Run nothing of that name again").click()
    page.get_by_text("nothing of that name waits again.").wait_for()
    row.get_by_text("failed", exact=True).wait_for()
    page.wait_for_function(
        "before => document.querySelector('tr time, [role=row] time')?.dateTime !== before",
        arg=ended,
    )
