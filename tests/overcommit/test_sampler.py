# SPDX-License-Identifier: Apache-2.0
"""What the host says of its memory, and what guests say on their consoles."""

import guests
import pytest
import sampler
import scenario


def test_pressure():
    text = ("some avg10=0.00 avg60=1.50 avg300=0.40 total=2500000\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=1250000\n")
    assert sampler.stall_seconds(text) == (2.5, 1.25)
    assert sampler.stall_seconds("") == (0.0, 0.0)


def test_a_cgroup(tmp_path):
    files = {"current": "600\n", "stat": "anon 500\ninactive_file 40\nactive_file 20\nworkingset_refault_anon 3\n",
             "events": "low 0\noom 1\noom_kill 2\n", "pressure": "some avg10=0 total=1000000\nfull avg10=0 total=0\n",
             "swap.current": "70\n"}
    for name, text in files.items():
        (tmp_path / f"memory.{name}").write_text(text)
    group = sampler.Group(tmp_path, 1000)
    assert group.sample() == {"total": 1000, "free": 400, "available": 460, "swap": 70, "swap_ins": 3, "swap_outs": 0,
                              "oom_kills": 2, "psi_some": 1.0, "psi_full": 0.0}
    (tmp_path / "memory.current").write_text("1200\n")
    assert group.sample()["free"] == 0


def test_this_machine():
    row = sampler.Whole().sample()
    assert 0 < row["free"] <= row["total"] and row["swap_ins"] >= 0


class Console:
    """Stands in for a guest that runs: lines, each with its time."""

    def __init__(self, *lines):
        self.lines = list(lines)


@pytest.fixture
def machine(tmp_path):
    spec = scenario.Guest("g", 1 << 30, "true", says="^hold: done$")
    return guests.machine(spec, "patched", str(tmp_path))


def test_what_a_job_says(machine):
    machine.vm = Console((0.5, "ebb-guest: init"), (1.0, "ebb-job: phase build"), (2.0, "hold: done"))
    machine.read_console()
    assert machine.said and machine.job_time is None and machine.status is None
    machine.vm.lines.append((3.0, "ebb-job: exit=7"))
    machine.read_console()
    assert (machine.status, machine.job_time, machine.phases) == (7, 2.5, [(1.0, "build")])


def test_a_command_that_echoes_its_words_has_not_ended(machine):
    machine.vm = Console((0.5, "ebb-guest: init"), (1.0, "echo ebb-job: exit=$?"), (1.0, "hold: done?"))
    machine.read_console()
    assert machine.status is None and not machine.said


@pytest.mark.parametrize("variant, has, has_not", [
    ("none", ["--free-page-reporting=off", guests.lib.STOCK_VMLINUX], ["--no-balloon", "--discard"]),
    ("stock", ["--free-page-reporting=on", guests.lib.STOCK_VMLINUX], ["--discard"]),
    ("patched", ["--free-page-reporting=on", guests.lib.VMLINUX], ["--discard"]),
    ("free", ["--free-page-reporting=on", guests.lib.VMLINUX, "--discard", "free"], []),
    ("qemu", ["virtio-balloon-device,id=balloon0,free-page-reporting=on", guests.lib.STOCK_VMLINUX], []),
])
def test_variants(tmp_path, variant, has, has_not):
    spec = scenario.Guest("g", 1 << 30, "true")
    argv = guests.machine(spec, variant, str(tmp_path)).argv()
    assert all(word in argv for word in has) and not any(word in argv for word in has_not)


def test_only_the_kernels_that_are_run_are_wanted():
    found = scenario.parse("f", "n", 'variants = ["patched"]\ntitle = "t"\n[host]\nmemory = "1G"\n'
                                     '[[guest]]\nsize = "64M"\njob = "true"')
    wanted = guests.files_wanted(found)
    assert guests.lib.VMLINUX in wanted and guests.lib.STOCK_VMLINUX not in wanted
    found.variants = ["none", "qemu"]
    wanted = guests.files_wanted(found)
    assert guests.lib.VMLINUX not in wanted and guests.lib.STOCK_VMLINUX in wanted
