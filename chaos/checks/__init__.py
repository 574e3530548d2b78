"""The promises of the README, each as a function from evidence to findings; no finding: it holds."""

from collections.abc import Callable

from chaos.checks import (
    archive,
    away,
    bulk,
    commands,
    dashboards,
    leftovers,
    logs,
    outcomes,
    ownership,
    places,
    samples,
    setups,
    times,
    visitors,
)
from chaos.evidence import Evidence

Check = Callable[[Evidence], list[str]]

#: What is promised → the check.
ALL: dict[str, Check] = {
    "no acked sample is missing": samples.none_missing,
    "no sample is stored twice, or out of order": samples.none_twice,
    "no other sample is stored than was sent": samples.none_invented,
    "one owner at a time": ownership.one_at_a_time,
    "acks come in the order of the updates": samples.acked_in_order,
    "no earlier connection takes a session back": ownership.no_way_back,
    "dashboards have no gaps unless notified": dashboards.no_gaps,
    "dashboards get what they chose": dashboards.as_chosen,
    "dashboards end with the state that is true": dashboards.views_are_true,
    "every command ends in one final status": commands.one_end,
    "commands arrive, in order, and a repeated request is one command": commands.arrive,
    "a command is sent again only while it is not acknowledged": outcomes.sent_again,
    "a command ends as its device said, or as was chosen": outcomes.as_said,
    "a command and its outcome are kept": outcomes.kept,
    "a command lives as long as was asked": outcomes.in_time,
    "a command for many is one for each": bulk.once_each,
    "no accepted setup is lost, and its answer is its own": setups.none_lost,
    "steps back and forth lead where they came from": setups.steps_are_true,
    "devices are given the setups that were accepted": setups.arrive,
    "who was sent away stays away, and comes back": away.kept,
    "what was deleted is gone": away.gone,
    "clients are counted while they are there": visitors.counted,
    "every session is in one place": places.one_each,
    "keys are documented, and have their TTL": places.documented_keys,
    "the archive is whole": archive.whole,
    "a damaged file is seen": archive.damage_seen,
    "failures are detected in time": times.kept,
    "all comes to its end when faults are over": times.all_ended,
    "nothing is held when all have left": leftovers.none,
    "no error without a reason": logs.explained,
}
