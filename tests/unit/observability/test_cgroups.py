"""How much memory the containers of a process leave it, seen in trees of files as Linux shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.observability import host_memory
from service.observability.cgroups import ControlGroups, GroupMemory

MIB = 1 << 20
MACHINE = 64 << 30
NO_LIMIT_V1 = 9223372036854771712


class Tree:
    """A file system with one process in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: object) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def v2(self, path: str = "/", *, top: str = "/", mount: str = "/sys/fs/cgroup") -> None:
        self.write("proc/self/cgroup", f"0::{path}")
        shown = mount.replace(" ", "\\040")
        self.write(
            "proc/self/mountinfo",
            f"30 23 0:26 {top} {shown} ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate",
        )

    def v1(self, path: str, *, top: str = "/") -> None:
        """Also as hybrid: version 2 is there and has no memory."""
        self.write(
            "proc/self/cgroup", f"5:cpu,cpuacct:{path}\n4:memory:{path}\n1:name=systemd:/x\n0::/"
        )
        self.write(
            "proc/self/mountinfo",
            "31 30 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
            f"35 30 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"36 30 0:30 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
            "38 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        )

    def group2(
        self, folder: str, limit: object, usage: int, cached: int = 0, high: object = "max"
    ) -> None:
        self.write(f"{folder}/memory.max", limit)
        self.write(f"{folder}/memory.high", high)
        self.write(f"{folder}/memory.current", usage)
        self.write(f"{folder}/memory.stat", f"anon 1\ninactive_file {cached}\nactive_file 7")

    def group1(self, folder: str, limit: int, usage: int, cached: int = 0) -> None:
        path = f"/sys/fs/cgroup/memory{folder}"
        self.write(f"{path}/memory.limit_in_bytes", limit)
        self.write(f"{path}/memory.usage_in_bytes", usage)
        self.write(f"{path}/memory.use_hierarchy", 1)
        self.write(f"{path}/memory.stat", f"inactive_file 0\ntotal_inactive_file {cached}")

    def memory(self) -> GroupMemory | None:
        return ControlGroups(self.root).memory(MACHINE)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_container_of_version_2(tree: Tree) -> None:
    tree.v2()
    tree.group2("/sys/fs/cgroup", 400 * MIB, 300 * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, 100 * MIB)


@pytest.mark.parametrize("top", ["/", "/docker/c1"])
def test_container_of_version_1(tree: Tree, top: str) -> None:
    """With the whole tree mounted, and with the container's own part of it."""
    tree.v1("/docker/c1", top=top)
    tree.group1("" if top != "/" else "/docker/c1", 400 * MIB, 100 * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, 300 * MIB)


def test_tightest_group_decides(tree: Tree) -> None:
    """Of limits and of what is left: the pod has less left than the container alone may have."""
    tree.v2("/pods/pod/box")
    tree.group2("/sys/fs/cgroup/pods", 9000 * MIB, 10 * MIB)
    tree.group2("/sys/fs/cgroup/pods/pod", 1000 * MIB, 990 * MIB)
    tree.group2("/sys/fs/cgroup/pods/pod/box", 400 * MIB, 100 * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, 10 * MIB)


def test_limit_of_a_group_far_above_counts(tree: Tree) -> None:
    tree.v1("/slice/service")
    tree.group1("", NO_LIMIT_V1, 60 << 30)
    tree.group1("/slice", 500 * MIB, 450 * MIB)
    tree.group1("/slice/service", NO_LIMIT_V1, 400 * MIB)
    assert tree.memory() == GroupMemory(500 * MIB, 50 * MIB)


def test_group_above_that_does_not_count_its_children_decides_nothing(tree: Tree) -> None:
    tree.v1("/slice/service")
    tree.group1("/slice", 100 * MIB, 99 * MIB)
    tree.write("/sys/fs/cgroup/memory/slice/memory.use_hierarchy", 0)
    tree.group1("/slice/service", 400 * MIB, 100 * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, 300 * MIB)


def test_high_is_a_limit_and_may_be_passed(tree: Tree) -> None:
    tree.v2()
    tree.group2("/sys/fs/cgroup", "max", 100 * MIB, high=200 * MIB)
    assert tree.memory() == GroupMemory(200 * MIB, 100 * MIB)
    tree.group2("/sys/fs/cgroup", 400 * MIB, 210 * MIB, high=200 * MIB)
    assert tree.memory() == GroupMemory(200 * MIB, 0)


@pytest.mark.parametrize(("cached", "left"), [(150, 200), (0, 50), (900, 400)])
def test_cached_files_that_were_not_used_lately_are_available(
    tree: Tree, cached: int, left: int
) -> None:
    """The numbers are read one after the other, so there may be more of it than is used."""
    tree.v2()
    tree.group2("/sys/fs/cgroup", 400 * MIB, 350 * MIB, cached * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, left * MIB)
    tree.v1("/c")
    tree.group1("/c", 400 * MIB, 350 * MIB, cached * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, left * MIB)


def test_limit_that_changes_is_seen(tree: Tree) -> None:
    tree.v2()
    tree.group2("/sys/fs/cgroup", 400 * MIB, 100 * MIB)
    groups = ControlGroups(tree.root)
    assert groups.memory(MACHINE) == GroupMemory(400 * MIB, 300 * MIB)
    tree.write("/sys/fs/cgroup/memory.max", 200 * MIB)
    assert groups.memory(MACHINE) == GroupMemory(200 * MIB, 100 * MIB)


def test_of_groups_without_a_limit_nothing_else_is_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes read them again and again."""
    tree.v2("/c")
    tree.group2("/sys/fs/cgroup/c", "max", 100 * MIB)
    tree.group2("/sys/fs/cgroup", 2 * MACHINE, 100 * MIB)
    groups = ControlGroups(tree.root)
    assert groups.memory(MACHINE) is None
    opened: list[str] = []
    is_open = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *args, **named: opened.append(path.name) or is_open(path, *args, **named),
    )
    assert groups.memory(MACHINE) is None
    assert sorted(opened) == ["memory.high", "memory.high", "memory.max", "memory.max"]
    tree.write("/sys/fs/cgroup/memory.max", 200 * MIB)
    assert groups.memory(MACHINE) == GroupMemory(200 * MIB, 100 * MIB)


def test_path_outside_of_the_namespace_is_what_is_mounted(tree: Tree) -> None:
    tree.v2("/../../other", mount="/mnt/my groups")
    tree.group2("/mnt/my groups", 400 * MIB, 100 * MIB)
    assert tree.memory() == GroupMemory(400 * MIB, 300 * MIB)


def test_without_a_limit_the_machine_decides(tree: Tree) -> None:
    assert tree.memory() is None  # not Linux
    tree.v2()
    assert tree.memory() is None
    tree.group2("/sys/fs/cgroup", "max", 100 * MIB)
    assert tree.memory() is None
    tree.group2("/sys/fs/cgroup", MACHINE, 100 * MIB)
    assert tree.memory() is None
    tree.write("/sys/fs/cgroup/memory.max", "what?")
    assert tree.memory() is None
    tree.write("proc/self/mountinfo", "words\n1 2 - cgroup2\n\n - ")
    tree.write("proc/self/cgroup", "words\n\n0:")
    assert tree.memory() is None


def test_limit_of_nothing_leaves_nothing(tree: Tree) -> None:
    tree.v2()
    tree.group2("/sys/fs/cgroup", 0, 0)
    memory = tree.memory()
    assert memory is not None
    assert memory.available_percent == 0.0


@pytest.mark.parametrize(
    ("container", "machine_left", "percent"),
    [((400, 395), 60_000, 1.25), ((400, 40), 100, 90.0), (None, 13_107.2, 20.0)],
    ids=["full container, empty machine", "empty container, full machine", "no limit"],
)
def test_container_or_machine(
    tree: Tree,
    monkeypatch: pytest.MonkeyPatch,
    container: tuple[int, int] | None,
    machine_left: float,
    percent: float,
) -> None:
    if container is not None:
        tree.v2()
        tree.group2("/sys/fs/cgroup", container[0] * MIB, container[1] * MIB)

    class Machine:
        total = MACHINE
        available = machine_left * MIB

    monkeypatch.setattr(host_memory, "_groups", ControlGroups(tree.root))
    monkeypatch.setattr(host_memory.psutil, "virtual_memory", Machine)
    assert host_memory.available_percent() == pytest.approx(percent)
