# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count --memory 2048
"""A guest powers off, reboots, or loses its balloon's driver, at some moment after memory was freed: before it is reported,
in the midst of that, and afterwards. Its kernel has nothing to warn of (it would panic), and waits for nobody.

A guest is saved once it has taken memory, and restored for each moment. `make check-all` tries all of them:
EBB_E2E_STEP has the milliseconds from one to the next. By a counted clock: by the real one, on a busy machine, memory is
reported at any time within two seconds.
"""

import os
import re

import pytest
from conftest import BROKEN_AT_POWEROFF, LIMIT, lib
from test_ends import goes
from test_monitor import run

pytestmark = [pytest.mark.linux, pytest.mark.arch("x86_64")]

TAKE = 144
REST, LAST = 250, 500  # milliseconds: after so many freed memory is reported; the last moment, when all of it was
STEP = int(os.environ.get("EBB_E2E_STEP", "0"))
MOMENTS = [*range(0, LAST, STEP or REST), LAST]

JOB = (
    f"for p in min max; do echo {REST} >/sys/module/page_reporting/parameters/delay_${{p}}_ms; done 2>/dev/null; "
    f"hold {TAKE}M --hold 100000 & read us way; kill $!; wait; usleep $us; eval $way"
)
# The guest's end comes after all was reported that the driver had not come to before it was taken away.
REBIND = (
    "d=/sys/bus/virtio/drivers/virtio_balloon; v=$(cd $d; echo virtio*); echo $v >$d/unbind; echo $v >$d/bind; "
    "echo now timeout=60000 >/sys/kernel/mm/page_reporting/report_now && echo reported; grep MemFree /proc/meminfo; poweroff -f"
)
WAYS = {"poweroff": "poweroff -f", "reboot": "reboot -f", "unbind": REBIND}


class Saved:
    """A guest that has taken memory, in a folder."""

    def __init__(self, box, folder, kernel, cpus):
        self.options = ["--debug", "--free-page-reporting", "-c", str(cpus)]
        self.folder = str(folder)
        first = box.start(JOB, *self.options, "--name", "first", kernel=kernel, params="loglevel=5 panic_on_warn=1")
        first.wait_for("^hold: taken", LIMIT)
        run(box, "snapshot", "-n", "first", self.folder)
        first.kill()
        box.guests.remove(first)

    def goes(self, box, ms, way):
        """Restores it, has it free its memory, and end `way` so much later. Returns the guest, which has ended."""
        argv = [lib.EBB, "run", "--restore", self.folder, "-m", "256M", "-n", "none", *self.options]
        guest = lib.Guest(argv, env=box.env)
        box.guests.append(guest)
        guest.send(f"{ms * 1000} {way}\n")
        guest.wait(LIMIT)
        return guest


@pytest.fixture(scope="module", params=[1, 2], ids=lambda cpus: f"{cpus}-cpu")
def saved(request, module_ebb, tmp_path_factory):
    return Saved(module_ebb, tmp_path_factory.mktemp("saved") / "ours", lib.KERNEL, request.param)


def given_back(guest):
    """MiB."""
    return int(re.search(r"(\d+) MiB given back", guest.stderr())[1])


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_at_every_moment(ebb, saved, way):
    found = {}
    for ms in MOMENTS:
        guest = saved.goes(ebb, ms, WAYS[way])
        assert guest.process.returncode == 0, f"after {ms} ms\n{guest.console()}\n{guest.stderr()}"
        assert not ebb.left()
        found[ms] = given_back(guest)
        if way == "unbind":
            assert "reported" in guest.console(), f"after {ms} ms\n{guest.console()}"
            assert int(re.search(r"MemFree: +(\d+) kB", guest.console())[1]) > 1024 * TAKE
    print(way, found)
    assert found[LAST] > 0.9 * TAKE, found
    if way == "unbind":
        assert min(found.values()) > 0.9 * TAKE, found
    else:
        assert found[0] < 0.5 * TAKE, found


def near_the_report(box, saved, tries):
    """Halves the time in which the report of what was freed must lie, then looks around there. Yields each guest that has
    powered off, which takes it long, and what it had reported in MiB. The first does so at once: a stock kernel may have
    reported other memory by then."""
    guest = saved.goes(box, 0, goes(20))
    yield guest, given_back(guest)
    early, late, half = 0, 4000, given_back(guest) + 0.5 * TAKE
    for _ in range(tries):
        ms = (early + late) // 2
        guest = saved.goes(box, ms, goes(20))
        print(ms, guest.process.returncode, given_back(guest))
        yield guest, given_back(guest)
        early, late = (ms, late) if given_back(guest) < half else (early, ms)
        if late - early < 4:
            early, late = max(0, early - 16), late + 16


def test_it_goes_while_memory_is_reported(ebb, saved):
    found = []
    for guest, reported in near_the_report(ebb, saved, 40 if STEP else 10):
        assert guest.process.returncode == 0, f"{guest.console()}\n{guest.stderr()}"
        found.append(reported)
    assert min(found) < 0.5 * TAKE < max(found), found


def test_a_stock_kernel_warns(ebb, tmp_path):
    """The control: at some moment it does, and panics."""
    stock = Saved(ebb, tmp_path / "stock", lib.STOCK_VMLINUX, 1)
    for guest, _ in near_the_report(ebb, stock, 64):
        if guest.process.returncode:
            break
    ebb.guests.remove(guest)  # its kernel complains, as it should
    assert guest.process.returncode == 1 and BROKEN_AT_POWEROFF.search(guest.console()), guest.console()
