# SPDX-License-Identifier: Apache-2.0
# Architectures: arm64
# Emulated host: --machine gic-version=2
"""A host whose interrupt controller is a GICv2: its guests get one, and all that comes by interrupts comes."""

import re

import pytest
from conftest import LIMIT, lib
from test_monitor import run
from test_reporting import TAKE, Reported, counters

pytestmark = [pytest.mark.linux, pytest.mark.cross, pytest.mark.arch("arm64"), pytest.mark.emulated]


def interrupts(ebb, cpus, controller, sources):
    """Each of the sources has interrupted by way of the controller, a regular expression; each processor works."""
    one = "taskset -c $i sleep 0.1 && taskset -c $i awk '{ print $39 }' /proc/self/stat"
    lines = ebb.job(f"for i in $(seq 0 {cpus - 1}); do {one}; done; cat /proc/interrupts", "-c", cpus, "--free-page-reporting")
    assert lines[:cpus] == [str(i) for i in range(cpus)]
    for what in sources:
        line = next((line for line in lines if line.endswith(what)), f"no {what} in {lines}")
        assert re.search(controller, line), line
        assert sum(int(number) for number in line.split()[1 : 1 + cpus]) > 0, line


@pytest.mark.parametrize("cpus", [1, 2])
def test_interrupts(ebb, cpus):
    """Timers on each processor, the serial port's, the balloon's; and processors that wake each other."""
    interrupts(ebb, cpus, "GICv2|GIC-0", ("arch_timer", "virtio0", "ttyS0"))


def test_memory_comes_back(ebb):
    result = Reported(ebb, "--thp")
    assert result.taken >= TAKE
    assert result.taken - result.kept >= TAKE * 0.8
    assert counters(result.guest).failures == 0


def test_power_button(ebb):
    started = ebb.start("echo ready; sleep 100000", "--name", "asked")
    started.wait_for("^ready$", LIMIT)
    run(ebb, "stop", "-n", "asked", "--timeout", LIMIT)
    ebb.ended(started, 0)
    assert "ebb-guest: power button" in started.console()


def test_more_processors_than_it_has(ebb):
    ebb.mistake(lib.ebb("true", "-c", 9), "9 CPUs are too many", "allow 8")
