"""All loads, in the order in which they run and are shown. Nodes run with their default settings."""

from benchmarks.loads.connections import CONNECTIONS
from benchmarks.loads.fleets import FLEETS
from benchmarks.loads.nodes import NODES
from benchmarks.loads.stores import STORES
from benchmarks.loads.updates import UPDATES

LOADS = (*UPDATES, *CONNECTIONS, *NODES, *FLEETS, *STORES)
