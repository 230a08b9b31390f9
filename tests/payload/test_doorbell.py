# SPDX-License-Identifier: Apache-2.0
"""The doorbell is answered within KVM, by an eventfd (doorbell.c)."""

from payload import REPORTING

RINGS = 1000


def test_answers(run):
    run("doorbell", REPORTING, test="answers").passed("answers")


def test_stays_inside(run):
    """
    Where a doorbell left KVM, its vCPU's thread would have to write to the worker's eventfd itself:
    a system call for each. That thread writes the console, too, a call for each character.
    """
    payload = run("doorbell", REPORTING, test="stays-inside", params=f"rings={RINGS}")
    payload.paused("before")
    before = payload.vcpu_writes()
    assert before >= len("wait before\n"), "this host does not count a thread's system calls"
    payload.proceed()
    payload.paused("after")
    after = payload.vcpu_writes()
    payload.proceed()
    payload.passed("stays-inside")
    assert after - before < RINGS / 10
