# SPDX-License-Identifier: Apache-2.0
# Emulated host: --count --memory 2048
"""What a guest's kernel holds back until it has rested, and gives on request. By a counted clock: by the real one, on a busy
machine, what was freed first has rested for long enough before it is looked at.
"""

import pytest

pytestmark = pytest.mark.linux

# Prints MiB that are held back, and blocks that were reported. First part of what rests is wanted, of which half was freed
# later; for how many centiseconds that is there is told. Then nothing rests for long enough, and there is page cache, too.
HELD_BACK = "; ".join((
    # What is freed comes from per-CPU lists soon.
    "echo 1000 >/proc/sys/vm/percpu_pagelist_high_fraction; cd /sys/kernel/mm/page_reporting",
    "held() { read -r pages <held_back; held=$((pages / 256)); }",
    "now() { read -r now _ </proc/uptime; now=${now%.*}${now#*.}; }",
    "count() { while read -r name count; do [ $name != page_report_block ] || break; done </proc/vmstat; }",
    "look() { held; count; echo look: $held $count; }; ask() { echo $* timeout=60000 >report_now; }",
    "mkfifo /tmp/end; hold 64M --thp --wait </tmp/end >/tmp/taken & exec 3>/tmp/end",
    "until [ -s /tmp/taken ]; do usleep 100000; done; hold 64M --thp --hold 0; sleep 5",
    "now; freed=$now; echo >&3; wait; look; ask pages=12288; look",
    "held; while [ $held -ge 48 ]; do usleep 100000; held; done; now; echo age: $((now - freed))",
    "for end in max min; do echo 60000 >/sys/module/page_reporting/parameters/delay_${end}_ms; done",
    "truncate -s 64M /tmp/disk; losetup /dev/loop0 /tmp/disk",
    "exec 4</dev/loop0; dd if=/dev/loop0 of=/dev/null bs=1M 2>/dev/null",
    "ask now; look; hold 128M --thp --hold 0; look; sleep 2; look; ask pages=8192 cache=all; look; cached /dev/loop0 0M 64M",
    "ask now; look; ask pages=8192 cache=all; cached /dev/loop0 0M 64M",
))


def test_what_is_held_back_is_told_and_taken_on_request(ebb):
    """As much of it as is asked for, the oldest first, or all. What is younger stays until it has rested for long enough
    itself, and page cache unless there is too little. The control: without a request nothing goes.
    """
    params = "quiet page_reporting.delay_min_ms=10000 page_reporting.delay_max_ms=10000"
    lines = ebb.job(HELD_BACK, "--free-page-reporting", memory="1G", params=params)
    found = [tuple(map(int, line.split()[1:])) for line in lines if line.startswith("look: ")]
    age = next(int(line.split()[1]) for line in lines if line.startswith("age: "))
    cached = [int(line.split()[1]) for line in lines if line.startswith("cached: ")]
    print(found, age, cached)
    both, younger, none, freed, rested, some, rest = found
    assert both[0] >= 112 and 20 <= younger[1] - both[1] <= 24 and age >= 1000, (found, age)
    assert none[0] < 16 and freed[0] >= none[0] + 112 and rested[0] > freed[0] - 16, found
    assert none[1] == freed[1] == rested[1], found
    assert 12 <= some[1] - rested[1] <= 16 and 20 <= rested[0] - some[0] <= 36, found
    assert rest[1] - some[1] >= 32 and rest[0] < 16, found
    assert cached[0] == 64 and 16 <= cached[1] <= 48, cached


def test_a_request_ends_when_it_has_what_it_wanted(ebb):
    """Passes look for ever younger memory, by halves of the delay. Of 64 MiB that have rested for more than half of it, 4 MiB
    are wanted: the second pass brings them, and a third one is in vain. The control: more is wanted than there is.
    """
    ask = "count; was=$count; echo pages=$1 timeout=60000 >/sys/kernel/mm/page_reporting/report_now; count"
    job = "; ".join((
        "count() { while read -r name count; do [ $name != page_report_pass ] || break; done </proc/vmstat; }",
        f"ask() {{ hold 64M --thp --hold 0; sleep 6; {ask}; echo passes $1: $((count - was)); }}",
        "for round in 1 2 3; do ask 1024; ask 1000000; done",
    ))
    params = "quiet page_reporting.delay_min_ms=10000 page_reporting.delay_max_ms=10000"
    lines = ebb.job(job, "--free-page-reporting", memory="512M", params=params)
    passes = [[int(line.split()[2]) for line in lines if line.startswith(f"passes {n}:")] for n in (1024, 1000000)]
    # A pass of the guest's own can be among them.
    assert len(passes[0]) == len(passes[1]) == 3 and min(passes[0]) == 2 < min(passes[1]), passes
