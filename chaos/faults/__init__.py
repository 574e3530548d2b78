"""Faults that a run draws from."""

from chaos.faults import crowds, network, processes, redis_replies
from chaos.faults.fault import Fault

#: By name.
ALL: dict[str, Fault] = {
    fault.name: fault
    for fault in [*processes.FAULTS, *network.FAULTS, *redis_replies.FAULTS, *crowds.FAULTS]
}
