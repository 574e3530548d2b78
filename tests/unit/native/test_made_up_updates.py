"""Updates made up by Hypothesis come to the same end, read in C or in Python."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from chaos.fuzz.readers import KEY, compare_ends, compare_messages, reader
from service.protocol import frames

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6).map(lambda number: round(number, 2)),
    st.text(max_size=12),
)
ANY_VALUE = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.one_of(st.sampled_from(["speed", "a", "ä", "k" * 256, "b c", ""]), st.text(max_size=8))
TIMES = st.one_of(st.integers(-5, 253_402_300_805), st.floats(0, 2e9), st.none())
FORMS = st.one_of(
    st.fixed_dictionaries({"key": NAMES, "value": ANY_VALUE}),
    st.fixed_dictionaries({"data": st.dictionaries(NAMES, ANY_VALUE, max_size=5)}),
    st.fixed_dictionaries(
        {
            "samples": st.lists(
                st.one_of(st.tuples(NAMES, ANY_VALUE), st.tuples(NAMES, ANY_VALUE, TIMES)),
                max_size=5,
            )
        }
    ),
)
ALONG = st.fixed_dictionaries(
    {},
    optional={
        "device_id": st.sampled_from(["device-00001", "other", None]),
        "ts": TIMES,
        "seq": st.integers(-1, 4),
        "more": LEAVES,
    },
)
ASCII = st.booleans()
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\n ")])
EVENTS = st.lists(
    st.builds(
        lambda form, along, number, is_ascii, spaces: (
            f"42{number}"
            + json.dumps(
                ["update_data", {**form, **along}], ensure_ascii=is_ascii, separators=spaces
            )
        ).encode("utf-8", "surrogatepass"),
        FORMS,
        ALONG,
        st.sampled_from(["", "0", "17", "999999"]),
        ASCII,
        SPACES,
    ),
    min_size=1,
    max_size=5,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_updates_made_up_come_to_the_same_end(events: list[bytes], chance: random.Random) -> None:
    stream = b"".join(frames.encode_masked(frames.TEXT, event, KEY) for event in events)
    at = chance.randint(0, len(stream))
    compare_messages(reader(), [stream])
    compare_messages(reader(), [stream[:at], stream[at:]])
    compare_ends(reader(), [stream[:at], stream[at:]])
