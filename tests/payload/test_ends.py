# SPDX-License-Identifier: Apache-2.0
"""How a guest can end, and what ebb makes of it (ends.c)."""

import re

import pytest

GUEST_FAILED = 1


def ending(run, test):
    payload = run("ends", test=test)
    payload.expect("^ending$")
    return payload


@pytest.mark.parametrize("test", ["poweroff", "reset"])
def test_in_order(run, test):
    payload = ending(run, test)
    payload.ended(0)
    assert payload.stderr() == ""


def test_panic(run):
    payload = ending(run, "panic")
    payload.ended(GUEST_FAILED)
    assert payload.stderr() == "ebb: the guest's kernel panicked"


def registers(text):
    """The registers in the report, by name."""
    return {name: int(value, 16) for name, value in re.findall(r"\b([a-z][a-z0-9]{1,5}) +([0-9a-f]{4,16})\b", text)}


def test_triple_fault(run):
    payload = ending(run, "triple-fault")
    payload.ended(GUEST_FAILED)
    said = payload.stderr()
    assert "ebb: vCPU 0 shut down (a triple fault" in said
    assert registers(said)["rax"] == 0x1234567, said
    rip = registers(said)["rip"]
    assert f"instruction at {rip:#x}: 0f 0b" in said, said


@pytest.mark.emulating_kvm
def test_unknown_instruction(run):
    """Where KVM interprets kernel code, that it knows not all of it has to be said and explained."""
    payload = ending(run, "unknown-instruction")
    payload.ended(GUEST_FAILED)
    said = payload.stderr()
    assert "it does not know how to emulate an instruction" in said
    assert re.search(r"instruction at 0x[0-9a-f]+: cc", said), said
    assert "this host's processor has no virtualisation" in said
    assert "tests/host/run" in said
    assert "rip" in registers(said)
