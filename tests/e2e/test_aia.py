# SPDX-License-Identifier: Apache-2.0
# Architectures: riscv64
# Emulated host: --aia
"""A host whose KVM has an interrupt controller of its own, the AIA: its guests are told of that one, not of ebb's PLIC."""

import pytest
from test_gicv2 import interrupts
from test_reporting import TAKE, Reported, counters

pytestmark = [pytest.mark.linux, pytest.mark.cross, pytest.mark.arch("riscv64"), pytest.mark.emulated]


@pytest.mark.parametrize("cpus", [1, 2])
def test_interrupts(ebb, cpus):
    interrupts(ebb, cpus, "APLIC", ("virtio0", "ttyS0"))


def test_memory_comes_back(ebb):
    result = Reported(ebb, "--thp")
    assert result.taken >= TAKE
    assert result.taken - result.kept >= TAKE * 0.8
    assert counters(result.guest).failures == 0
