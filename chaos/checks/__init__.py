"""The promises of the README, each as a function from evidence to findings; no finding: it holds."""

from collections.abc import Callable

from chaos.checks import (
    archive,
    commands,
    dashboards,
    leftovers,
    logs,
    ownership,
    places,
    samples,
    setups,
    times,
)
from chaos.evidence import Evidence

Check = Callable[[Evidence], list[str]]

#: What is promised → the check.
ALL: dict[str, Check] = {
    "no acked sample is missing": samples.none_missing,
    "no sample is stored twice, or out of order": samples.none_twice,
    "no other sample is stored than was sent": samples.none_invented,
    "one owner at a time": ownership.one_at_a_time,
    "dashboards have no gaps unless notified": dashboards.no_gaps,
    "dashboards end with the state that is true": dashboards.views_are_true,
    "every command ends in one final status": commands.one_end,
    "commands arrive, in order, and a repeated request is one command": commands.arrive,
    "no accepted setup is lost, and its answer is its own": setups.none_lost,
    "every session is in one place": places.one_each,
    "keys are documented, and have their TTL": places.documented_keys,
    "the archive is whole": archive.whole,
    "a damaged file is seen": archive.damage_seen,
    "failures are detected in time": times.kept,
    "all comes to its end when faults are over": times.all_ended,
    "nothing is held when all have left": leftovers.none,
    "no error without a reason": logs.explained,
}
