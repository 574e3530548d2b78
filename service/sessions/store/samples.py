"""What sessions sent: samples in, and where the feed of their changes stands."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from service.sessions.model import AppendPart, AppendResult, FeedHead
from service.sessions.runs import runs_of
from service.sessions.store.runner import StorePart


class SampleStore(StorePart):
    """The part of the store that takes samples."""

    def append(
        self, partition: int, writer_id: str, number: int, parts: Sequence[AppendPart]
    ) -> list[AppendResult]:
        """Store a numbered batch; the same number again answers as before and stores nothing.

        At most CALL_SESSIONS sessions, CALL_SAMPLES samples and CALL_BYTES (service.schema.limits).
        After StoreUnavailable the writer repeats the same number with the same parts until it is
        answered, and has no other batch of this partition under way meanwhile.

        Redis: lua/samples/append.lua, atomic per session, one feed entry for the batch.
        """
        answer = self._runner.run(
            "append", partition, self._args(writer_id, number, parts), repeat=False
        )
        return _append_results(answer)

    def append_all(
        self, writer_id: str, batches: Sequence[tuple[int, int, Sequence[AppendPart]]]
    ) -> list[list[AppendResult] | Exception]:
        """Store a batch (partition, number, parts) in each of several partitions, in one round trip.

        Returns:
            For each what `append` returns, or raises.

        Raises:
            StoreUnavailable: for all of them.
        """
        calls = [
            (partition, self._args(writer_id, number, parts))
            for partition, number, parts in batches
        ]
        return [
            answer if isinstance(answer, Exception) else _append_results(answer)
            for answer in self._runner.run_in("append", calls)
        ]

    def _args(self, writer_id: str, number: int, parts: Sequence[AppendPart]) -> list[Any]:
        bounds = self._runner.settings
        sizes, default = bounds.history_keys, bounds.history_default
        args: list[Any] = [writer_id, number, bounds.max_keys, bounds.max_bytes, default]
        for part in parts:
            args += (part.session_id, "" if part.generation is None else part.generation)
            if part.seq_from is None:
                args += ("", part.bytes_in, part.samples_json, len(part.keys))
            else:
                args += (part.seq_from, part.seq_to, part.stream)
                args += (part.bytes_in, part.samples_json, len(part.keys))
            args += part.keys
            for data_key, values in part.keys.items():
                if len(values) == 1 and data_key not in sizes:
                    args += ("", values[0])
                    continue
                runs = runs_of(values)
                args += (sizes.get(data_key, default), len(values), len(runs))
                args += runs
                args.append(values[-1])
        return args

    def open_feed(self, partition: int) -> FeedHead:
        """Where a partition's feed stands; a new epoch when Redis lost or may have lost data."""
        epoch, last, first = self._runner.run("feed_open", partition, [secrets.token_hex(4)])
        return FeedHead(epoch, int(last), int(first))


#: It makes a named tuple of a tuple, without the call in Python that its constructor is.
_result: Callable[[tuple[str, int]], AppendResult] = partial(tuple.__new__, AppendResult)


def _append_results(answer: str) -> list[AppendResult]:
    # a part that was stored, as nearly every one is, takes no call in Python
    return [
        _result(("ok", int(word))) if word.isdecimal() else _not_stored(word)
        for word in answer.split(" ")
    ]


def _not_stored(word: str) -> AppendResult:
    if word == "s":
        return AppendResult("stale")
    if word == "m":
        return AppendResult("missing")
    if word == "k":
        return AppendResult("too_many_keys")
    if word == "b":
        return AppendResult("too_large")
    return AppendResult("conflict", int(word[1:]))
