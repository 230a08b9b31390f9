# SPDX-License-Identifier: Apache-2.0
# Emulated host: --cpus 2 --qemu-arg -object --qemu-arg memory-backend-ram,id=m0,size=1536M --qemu-arg -object --qemu-arg memory-backend-ram,id=m1,size=1536M --qemu-arg -numa --qemu-arg node,cpus=0,memdev=m0 --qemu-arg -numa --qemu-arg node,cpus=1,memdev=m1
"""Hosts with more than one node: memory that was reported comes back from where it is touched next."""

import fcntl
import os
import re
import subprocess

import pytest
from conftest import LIMIT, lib, wait_until

pytestmark = [pytest.mark.linux, pytest.mark.root]

MIB = lib.MIB
GUEST = 512 * MIB
TAKE = 256 * MIB
UNCHANGED = 50 * MIB


@pytest.fixture(scope="module", autouse=True)
def one_machine_lives():
    """On an emulated host of two CPUs it is dangerous to start the first VM or to end the last (tests/host/README.md)."""
    kvm = os.open("/dev/kvm", os.O_RDWR)
    machine = fcntl.ioctl(kvm, 0xAE01, 0)  # KVM_CREATE_VM
    yield
    os.close(machine)
    os.close(kvm)


def node_cpus(node):
    path = f"/sys/devices/system/node/node{node}/cpulist"
    if not os.path.exists(path):
        pytest.skip(f"this host has no node {node}: tests/e2e/run starts one that has")
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def on_nodes(started):
    """Bytes of the process on nodes 0 and 1, by /proc/PID/numa_maps."""
    found = [0, 0]
    with open(f"/proc/{started.pid}/numa_maps", encoding="ascii", errors="replace") as file:
        for line in file:
            size = re.search(r"kernelpagesize_kB=(\d+)", line)
            for node, pages in re.findall(r" N([01])=(\d+)", line):
                found[int(node)] += int(pages) * int(size[1]) * 1024
    return found


def move(started, cpus):
    """All of its threads run there from now on."""
    subprocess.run(["taskset", "-a", "-p", "-c", cpus, str(started.pid)], check=True, stdout=subprocess.DEVNULL)


class TwoTakes:
    """A guest that takes memory on node 0 and then, moved to node 1, again."""

    def __init__(self, box, *options):
        cpus = [node_cpus(0), node_cpus(1)]
        job = f"echo ready; while read line; do hold {TAKE // MIB}M --wait; done"
        wrapper = ["taskset", "-c", cpus[0]]
        self.guest = box.start(job, *options, memory=f"{GUEST // MIB}M", wrapper=wrapper)
        self.guest.wait_for("^ready$", LIMIT)
        self.cpus = cpus
        self.at = 0

    def take(self):
        self.guest.send("\n")
        self.at = self.guest.wait_for("^hold: taken", LIMIT, self.at)[0] + 1

    def free(self):
        self.guest.send("\n")
        self.at = self.guest.wait_for("^hold: freed", LIMIT, self.at)[0] + 1


@pytest.mark.emulated
def test_it_comes_back_from_the_node_that_touches_it(setting, ebb):
    node_cpus(1)
    setting("/proc/sys/kernel/numa_balancing", 0)
    two = TwoTakes(ebb, "--free-page-reporting")
    two.take()
    first = on_nodes(two.guest)
    assert first[0] >= TAKE and first[1] < UNCHANGED
    two.free()
    wait_until(lambda: on_nodes(two.guest)[0] < first[0] - TAKE * 0.8, "node 0 has its memory back")
    two.guest.stable_rss(timeout=LIMIT, still=4.0)  # the rest of what it reports
    left = on_nodes(two.guest)
    move(two.guest, two.cpus[1])
    two.take()
    second = on_nodes(two.guest)
    assert second[1] - left[1] >= TAKE * 0.8
    assert second[0] - left[0] < UNCHANGED

    # The control: memory that was never reported stays where it was first touched.
    control = TwoTakes(ebb, "--free-page-reporting=off")
    control.take()
    first = on_nodes(control.guest)
    control.free()
    move(control.guest, control.cpus[1])
    control.take()
    assert on_nodes(control.guest)[0] >= first[0] - UNCHANGED


@pytest.mark.emulated
def test_a_node_is_kept_to(setting, ebb):
    """Whoever touches it, and also when it has been reported: it is of the node that was asked for."""
    node_cpus(1)
    setting("/proc/sys/kernel/numa_balancing", 0)
    two = TwoTakes(ebb, "--free-page-reporting", "--numa-node", 1)
    for _ in range(2):
        two.take()
        taken = on_nodes(two.guest)
        assert taken[1] >= TAKE and taken[0] < UNCHANGED
        two.free()
        wait_until(lambda taken=taken: on_nodes(two.guest)[1] < taken[1] - TAKE * 0.8, "it comes back")
