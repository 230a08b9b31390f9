# SPDX-License-Identifier: Apache-2.0
"""How a guest can end, and what ebb makes of it (ends.c)."""

import re

import pytest

GUEST_FAILED = 1


def ending(run, test, status):
    """Runs a test that ends the guest: it says so, and nothing after that."""
    payload = run("ends", test=test)
    payload.expect("^ending$")
    payload.ended(status)
    assert payload.lines[-1][1] == "ending", payload.console()
    return payload.stderr()


@pytest.mark.parametrize("test", ["poweroff", "reset", "triple-fault-reset"])
def test_in_order(run, test):
    assert ending(run, test, 0) == ""


@pytest.mark.parametrize("test", ["panic", "panic-stands"])
def test_panic(run, test):
    assert ending(run, test, GUEST_FAILED) == "ebb: the guest's kernel panicked"


def registers(text):
    """The registers in the report, by name."""
    return {name: int(value, 16) for name, value in re.findall(r"\b([a-z][a-z0-9]{1,5}) +([0-9a-f]{4,16})\b", text)}


def svm():
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        return re.search(r"^flags.*\bsvm\b", cpuinfo.read(), re.M)


def test_triple_fault(run):
    said = ending(run, "triple-fault", GUEST_FAILED)
    assert "ebb: vCPU 0 shut down (a triple fault" in said
    rip = registers(said)["rip"]
    if svm() and rip == 0xFFF0:
        # There the processor leaves nothing behind: KVM resets the vCPU (svm.c, shutdown_interception).
        assert registers(said)["cs"] == 0xF000, said
        return
    assert registers(said)["rax"] == 0x1234567, said
    assert f"instruction at {rip:#x}: 0f 0b" in said, said


@pytest.mark.emulating_kvm
def test_unknown_instruction(run):
    """Where KVM interprets kernel code, that it knows not all of it has to be said and explained."""
    said = ending(run, "unknown-instruction", GUEST_FAILED)
    assert "it does not know how to emulate an instruction" in said
    assert re.search(r"instruction at 0x[0-9a-f]+: cc", said), said
    assert "this host's processor has no virtualisation" in said
    assert "tests/host/run" in said
    assert "rip" in registers(said)
