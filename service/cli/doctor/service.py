"""Checks of nodes, workers, jobs and logins for `muster doctor`."""

from __future__ import annotations

from service.cli.doctor.findings import Finding, Patient, Verdict
from service.config.fingerprint import GROUPS
from service.native import PYTHON
from service.observability.alarms import MISSED_TURNS, STARTING_S, late_sweeps
from service.security.http_guard import is_loopback

#: A queue this long, or a job that has waited this long, is not being worked on.
LONG_QUEUE, LONG_WAIT_S = 1000, 300
#: A node that may open fewer files than this was not set up for a fleet.
FEW_FILES = 4096
#: Part of the open files that may be connections.
FILES_FULL = 0.8


def check_nodes(patient: Patient) -> list[Finding]:
    """Check that nodes are running and ready."""
    nodes = patient.nodes
    if not nodes:
        mend = "start one with `muster node`, or everything with `muster up`"
        return [Finding("nodes", "warning", "none is running", mend)]
    found = [Finding("nodes", "ok", f"{len(nodes)} running")]
    for figures in nodes:
        if figures.get("ready") == "0" and figures.get("draining") != "1":
            mend = f"check http://{figures.get('address', '')}/readyz and its log"
            is_starting = int(figures.get("uptime_s", STARTING_S)) < STARTING_S
            verdict: Verdict = "warning" if is_starting else "error"
            found.append(Finding("nodes", verdict, f"{figures['node_id']} is not ready", mend))
    return found


def check_consistency(patient: Patient) -> list[Finding]:
    """Check that nodes and workers have the same version, and the same settings where they must."""
    found = []
    for what, mend in (
        ("version", "finish the upgrade: restart the old ones"),
        ("settings", f"compare `muster config show` of both: {', '.join(GROUPS)} must be the same"),
    ):
        values: dict[str, list[str]] = {}
        for name, figures in patient.processes():
            values.setdefault(figures.get(what) or "unknown", []).append(name)
        if len(values) > 1:
            each = "; ".join(f"{value}: {', '.join(who)}" for value, who in sorted(values.items()))
            found.append(Finding(what, "warning", f"not the same everywhere: {each}", mend))
        elif values:
            found.append(Finding(what, "ok", "the same everywhere"))
    return found


def check_readers(patient: Patient) -> list[Finding]:
    """Check that nodes read the updates of devices in C, unless Python is wanted."""
    slow = [n["node_id"] for n in patient.nodes if n.get("read_by") == PYTHON]
    if slow and patient.config.node.native is not False:
        seen = f"these read the updates of devices in Python, at about twice the CPU: {', '.join(slow)}"
        mend = "install Muster where there is a C compiler (docs/operations.md), or set node.native to false"
        return [Finding("reader", "warning", seen, mend)]
    if not any(n.get("read_by") for n in patient.nodes):
        return []
    words = "in Python, as node.native says" if slow else "in C"
    return [Finding("reader", "ok", f"the updates of devices are read {words}")]


def check_files(patient: Patient) -> list[Finding]:
    """Check limits of open files: every connection is one."""
    found = []
    for figures in patient.nodes:
        most, connections = int(figures.get("max_files", 0)), int(figures.get("connections", 0))
        seen = f"{figures['node_id']} has {connections} connections and may open {most} files"
        mend = "raise the hard limit (ulimit -Hn, LimitNOFILE, nofile) and restart it, or start more nodes"
        if most > 0 and (most < FEW_FILES or connections > FILES_FULL * most):
            found.append(Finding("files", "warning", seen, mend))
    if patient.nodes and not found:
        found.append(Finding("files", "ok", "the nodes may open enough files"))
    return found


def check_workers(patient: Patient) -> list[Finding]:
    """Check that workers are running, and that sweeps finish."""
    if not patient.workers:
        mend = "start one with `muster worker`: until then nothing is archived, and retries wait"
        return [Finding("workers", "warning", "none is running", mend)]
    found = [Finding("workers", "ok", f"{len(patient.workers)} running")]
    late = late_sweeps(patient.upkeep, patient.now_ms)
    if late:
        seen = f"these have not run for {MISSED_TURNS} turns: {', '.join(late)}"
        mend = "look at the workers' logs: do they fail, or is one job in the way of all?"
        return [*found, Finding("sweeps", "error", seen, mend)]
    return [*found, Finding("sweeps", "ok", "each of them has run")]


def check_queue(patient: Patient) -> list[Finding]:
    """Check that jobs do not wait for long, and that none has used up its retries."""
    queue, found = patient.queue, []
    length, oldest_s = queue.counts["queued"], queue.oldest_s or 0.0
    seen = f"{length} jobs wait" + (f", the oldest for {oldest_s:.0f} s" if length else "")
    if length > LONG_QUEUE or oldest_s > LONG_WAIT_S:
        found.append(Finding("queue", "warning", seen, "start more workers, check their logs"))
    else:
        found.append(Finding("queue", "ok", seen))
    strange = int(patient.upkeep.get("jobs_quarantined", 0))
    if strange:
        mend = f"who writes to Redis? LRANGE {patient.quarantine} 0 -1 shows them, DEL forgets them"
        found.append(Finding("quarantine", "warning", f"{strange} entries were no jobs", mend))
    failed = queue.counts["failed"]
    if failed:
        mend = "check them and retry them: GET /api/v1/jobs?state=failed, POST …/retry"
        return [
            *found,
            Finding("jobs", "warning", f"{failed} failed, with all retries used up", mend),
        ]
    return [*found, Finding("jobs", "ok", "none has failed")]


def check_login(patient: Patient) -> list[Finding]:
    """Check that a node that others can reach requires a token."""
    found = []
    modes = {figures["auth"] for figures in patient.nodes if figures.get("auth")}
    if len(modes) > 1:
        mend = "give all nodes the same auth.mode and restart them"
        found.append(Finding("login", "error", "some nodes require a token, others do not", mend))
    for figures in patient.nodes:
        host = figures.get("address", "").rpartition(":")[0]
        if figures.get("auth") == "open" and host and not is_loopback(host):
            seen = f"{figures['node_id']} listens on {host} and accepts every client as admin"
            mend = "set auth.mode to token, and auth.secret in the environment"
            found.append(Finding("login", "error", seen, mend))
    auth = patient.config.auth
    if auth.secret and auth.mode == "open":
        seen = "auth.secret is set, but auth.mode is open: no token is needed"
        found.append(Finding("login", "warning", seen, "set auth.mode to token"))
    return found or [Finding("login", "ok", f"auth.mode {', '.join(modes) or auth.mode}")]
