"""What goes from a page to the service and back: numbers, setups, jobs."""

from __future__ import annotations

import redis

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


def test_failed_job_is_shown_with_its_error_and_runs_again(fleet: Fleet, tab: OpenTab) -> None:
    """Once what was wrong is mended it is no failure any more, without a reload."""
    service = fleet.service
    service.store.bulk.set("broken", {"state": "queued", "request": "{"})
    with redis.Redis.from_url(service.cluster.server.url) as client:
        jobs = JobQueue(client, queue_name(service.config.redis.key_prefix))
        jobs._enqueue("send_batch", ["broken"], "broken", 60)
    seen = tab()
    seen.sign_in(fleet.urls[0], token("admin"), "/jobs?state=failed")
    row = seen.page.get_by_role("row").filter(has_text="send batch")
    row.get_by_text("JSONDecodeError").wait_for()
    service.store.bulk.set("broken", {"state": "done"})
    row.get_by_role("button", name="Run send batch again").click()
    seen.page.get_by_text("send batch waits again.").wait_for()
    seen.page.get_by_text("None is in this state.").wait_for()
    seen.page.get_by_label("Which jobs").select_option("finished")
    row.get_by_text("finished").wait_for()
