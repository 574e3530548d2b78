"""Places: each session is in exactly one index, and Redis holds nothing that the docs do not name."""

from __future__ import annotations

import re
from collections import Counter

from chaos.evidence import Evidence
from chaos.journal import Registered

#: RQ's own keys; docs/redis.md leaves them to RQ.
_OF_RQ = re.compile(r"rq:")


def one_each(evidence: Evidence) -> list[str]:
    """Find sessions in no index, in two, without data, or whose file is missing or not named."""
    found = []
    for tag, states in evidence.indexes.items():
        counts = Counter(name for ids in states.values() for name in ids)
        found += [
            f"{name} is in {count} indexes of {tag}" for name, count in counts.items() if count > 1
        ]
        for state, ids in states.items():
            for name in ids:
                in_redis = f"{tag}session:{name}" in evidence.keys
                if in_redis == (state == "archived"):
                    found.append(f"{name} is {state} and {'in' if in_redis else 'not in'} Redis")
        listed = set(counts)
        for key in evidence.keys:
            if key.startswith(f"{tag}session:") and (name := key[len(tag) + 8 :]) not in listed:
                found.append(f"{name} is in Redis and in no index of {tag}")
    found += [
        f"the archived file {name} is missing"
        for name, there in evidence.files.items()
        if not there
    ]
    archived = sum(len(states["archived"]) for states in evidence.indexes.values())
    if archived != len(evidence.files):
        found.append(f"{archived} sessions are archived, with {len(evidence.files)} files")
    loss = evidence.last_loss
    everybody = {
        entry.device for entry in evidence.of(Registered) if not loss.may_have(entry.at, entry.at)
    }
    found += [
        f"{name} was registered and is in no list" for name in everybody - evidence.summaries.keys()
    ]
    return found


def documented_keys(evidence: Evidence) -> list[str]:
    """Find keys that docs/redis.md does not name, or that have a TTL only there or only here."""
    rules = [(_pattern(text), has_ttl) for text, has_ttl in evidence.patterns.items()]
    found = []
    for key, ttl_ms in evidence.keys.items():
        if _OF_RQ.match(key):
            continue
        named = key.replace(
            ":{mq}", ":mq", 1
        )  # with several partitions all of the queue has one hash tag
        wanted = {has_ttl for rule, has_ttl in rules if rule.fullmatch(named)}
        if not wanted:
            found.append(f"{key} is not in docs/redis.md")
        elif (ttl_ms >= 0) not in wanted:
            found.append(f"{key} {'has a' if ttl_ms >= 0 else 'has no'} TTL")
    return found


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(<[^>]+>|\{p\})", text.removeprefix("P:"))
    made = "".join(
        r"\{[^}]*\}" if part == "{p}" else ".+" if part.startswith("<") else re.escape(part)
        for part in parts
    )
    return re.compile("muster:" + made)
