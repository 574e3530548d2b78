"""Limits of input: every bound of what the service takes, stated once.

Settings of an operator (docs/configuration.md) are not here, only their defaults where code runs without
settings. Scripts in Lua have none of these: their callers cut what they send to these sizes.
"""

from __future__ import annotations

#: UTF-8 bytes of an id, a data key or a name.
MAX_NAME_BYTES = 256
#: Levels of objects and arrays in one value or document.
MAX_DEPTH = 32
#: Largest value, as JSON, unless another is configured.
MAX_VALUE_BYTES = 64 * 1024
#: `meta` is kept in memory with its connection, so it has a bound of its own, as JSON.
MAX_META_BYTES = 16 * 1024

#: Sessions, samples and bytes that one call of a script takes (docs/redis.md).
CALL_SESSIONS = 500
CALL_SAMPLES = 2_000
CALL_BYTES = 1 << 20

#: Samples in one event: what one call of the append script may carry.
MAX_SAMPLES = CALL_SAMPLES
#: Samples of each key that a reader may ask for.
MAX_SAMPLES_READ = 1_000_000
#: Most sessions that a list returns.
MAX_LIST = 500
#: Sessions a dashboard may name; bounds the memory of a subscription. Larger sets watch a project.
MAX_WATCHED = 1_000
#: Data keys whose latest values come with summaries.
MAX_SHOWN_KEYS = 20
#: Points of one data key that an answer has, and the shortest interval of one, seconds.
MAX_POINTS = 2_000
MIN_STEP_S = 0.001
MAX_STEP_S = 366 * 24 * 3600
#: Devices one bulk command may name; a filter may match more.
MAX_BULK = 10_000
#: Sessions that one cleanup takes.
MAX_CLEANUP = 10_000

#: Seconds since 1970 at the end of the year 9999: more is a time in milliseconds.
MAX_TS_S = 253_402_300_799
#: Numbers that every client can count to.
MAX_COUNT = 2**53 - 1
#: Life of a command.
MAX_TTL_S = 30 * 24 * 3600
#: How long a socket may wait for a command.
MAX_TIMEOUT_S = 3600
#: The same for a request; proxies in between give up sooner than on a socket.
MAX_WAIT_S = 300
MAX_INTERVAL_MS = 60_000
#: How long a device can be sent away (lua/shared/states.lua has it too).
MAX_AWAY_S = 3600
#: The same where a request leaves it out.
AWAY_S = 60
#: How long a request of a device may wait for commands: many proxies cut after 60 s.
MAX_POLL_S = 50
#: The longest time between two reports of a device, 7 days.
MAX_EXPECT_EVERY_S = 7 * 24 * 3600
#: Commands that one report of a device may name as seen, and whose results it may have.
MAX_REPORTED_COMMANDS = 100

#: A token of a snapshot's page carries the ids of its scope.
MAX_PAGE_CHARACTERS = 2 * 1024 * 1024
MAX_CURSOR_CHARACTERS = 64 * 1024
#: A longer bearer token is refused before it is parsed.
MAX_TOKEN_CHARACTERS = 8192
#: Projects one token may name.
MAX_PROJECTS = 100
