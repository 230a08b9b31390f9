#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measuring half of tests/bench/devices, where KVM is. Lines on standard output (see measuring.py):

    ["versions", {NAME: TEXT}]
    ["value", ROW, VALUE]  in the row's unit; or null where this VMM or this host has no such thing

Everything that is opened or started lies in memory and was read once before.
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot_host  # noqa: E402
import host_root  # noqa: E402
import measuring  # noqa: E402
import scale_host  # noqa: E402
from measuring import LIMIT, MIB, guest, say, wait_for  # noqa: E402

HERE = "/tmp/bench-devices"
GUEST_MIB = 256
CONFIG = "/sys/kernel/config"
DISK_MIB = 64
SETTLE, WINDOW = 15.0, 30.0  # seconds
PORT = 5000
# passt gives the guest the host's address, and the gateway's is the host's loopback.
USER_HOST, USER_GATEWAY = "10.9.0.1", "10.9.0.2"
TAP_HOST, TAP_GUEST, TAP = "10.8.0.1", "10.8.0.2", "bench0"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
MTU = 65520  # of a network by passt; ebb's default

# ROW: blockio's arguments, count of requests, and what else the guest does.
REPORTING = "churn 32M --cycles 100000 --pause 20 >/dev/null & "
BLOCK = {
    "read seq 1": ("read --size 64K", 250), "read seq 32": ("read --size 64K --depth 32", 250),
    "write seq 1": ("write --size 64K", 250), "write seq 32": ("write --size 64K --depth 32", 250),
    "read random 1": ("read --random", 500), "read random 32": ("read --random --depth 32", 1000),
    "write random 1": ("write --random", 500), "write random 32": ("write --random --depth 32", 1000),
    "read discard 1": ("read --random --discard 32", 500), "read discard 32": ("read --random --depth 32 --discard 32", 1000),
    "write discard 1": ("write --random --discard 32", 500),
    "write discard 32": ("write --random --depth 32 --discard 32", 1000),
}
# ROW: what the guest does in the folder /m, and how many MiB or files that is.
FOLDER_MIB, FOLDER_FILES = 32, 500
FOLDER = {
    "folder read": (f"dd if=/m/big of=/dev/null bs=1M count={FOLDER_MIB}", FOLDER_MIB),
    "folder write": (f"dd if=/dev/zero of=/m/new bs=1M count={FOLDER_MIB} conv=fsync", FOLDER_MIB),
    "folder find": ("find /m/tree -size +1000", FOLDER_FILES),
    "folder cat": ("cat /m/tree/*", FOLDER_FILES),
    "folder make": (f"for f in $(seq {FOLDER_FILES}); do : >/m/made$f; done; rm /m/made*", FOLDER_FILES),
}
NET = {"send": ("send", 16 * MIB), "receive": ("receive", 16 * MIB), "trip": ("trip", 500)}


# --- What is on the host ------------------------------------------------------------------------------------------


def memory_disk(number):
    """A block device of memory with blocks of 512 bytes, which can be opened without a cache and frees what is discarded."""
    path = f"{CONFIG}/nullb/bench{number}"
    os.mkdir(path)
    for name, value in {"size": DISK_MIB, "blocksize": 512, "queue_mode": 2, "submit_queues": 1, "irqmode": 1,
                        "memory_backed": 1, "discard": 1, "power": 1}.items():
        with open(f"{path}/{name}", "w", encoding="ascii") as file:
            file.write(str(value))
    device = f"/dev/bench{number}"
    with open(device, "r+b") as disk:  # a page that was never written would be read without a look at memory
        for _ in range(DISK_MIB):
            disk.write(b"\xeb" * MIB)
        os.fsync(disk.fileno())
    return device


def make_host(args):
    """Disks, networks, programs, before all this has another root. Returns the disks."""
    os.makedirs(f"{HERE}/usr/bin", exist_ok=True)
    with open(args.initramfs, "rb") as initramfs:
        subprocess.run(["cpio", "-i", "-d", "--quiet", "bin/netio"], stdin=initramfs, cwd=HERE, check=True)
    passt = shutil.which("passt")
    for path in (passt, VIRTIOFSD, "/usr/bin/echo"):
        for file in (path, *host_root.libraries(path)):
            host_root.copy(HERE, file)
    for path in ("/etc/passwd", "/etc/group"):
        host_root.copy(HERE, path)
    for words in (f"tuntap add {TAP} mode tap", f"addr add {TAP_HOST}/24 dev {TAP}", f"link set {TAP} up",
                  "tuntap add t0 mode tap", f"addr add {USER_HOST}/24 dev t0", "link set t0 up",
                  f"route add default via {USER_GATEWAY} dev t0"):
        subprocess.run(["ip", *words.split()], check=True)
    subprocess.run(["mount", "-t", "configfs", "configfs", CONFIG], check=True)
    return [memory_disk(number) for number in range(2)]


# --- What is started ----------------------------------------------------------------------------------------------


class Ebb:
    argv = ["/ebb", "run", "-c", "1", "--free-page-reporting=on"]
    vcpu = "vcpu"

    def kernel(self, kernel, initrd, mib, params):
        return ["-k", kernel, "-i", initrd, "-m", f"{mib}M", "-p", params]

    def disk(self, _, path):
        return ["-d", f"{path},cache=none"]

    def folder(self, path):
        return ["--fs", f"{path},tag=bench"]

    def network(self, mode, _):
        return {None: ["-n", "none"], "passt": ["-n", "user"], "tap": ["-n", f"tap,tapif={TAP}"],
                "vhost": ["-n", f"tap,tapif={TAP},vhost=1"]}[mode]


def passt():
    """Starts passt as ebb does. Returns its stream."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.run(["passt", "--quiet", "--fd", str(theirs.fileno()), "--mtu", str(MTU)], pass_fds=[theirs.fileno()],
                       stderr=subprocess.DEVNULL, check=True)
    return ours.detach()


class Qemu:
    """As in boot_host.py; with the devices of today's virtio, as ebb's are."""
    argv = ["/qemu", "-enable-kvm", "-cpu", "host", "-smp", "1", "-nographic", "-nodefaults", "-no-user-config", "-no-reboot",
            "-L", "/firmware", "-serial", "stdio", "-global", "virtio-mmio.force-legacy=false",
            "-device", "virtio-balloon-device,free-page-reporting=on"]
    aio, thread = "threads", ""

    def kernel(self, kernel, initrd, mib, params):
        # With ACPI the small kernel has no console; Debian's needs ACPI to find the devices.
        machine = "microvm" if kernel == "/cloud" else boot_host.MICROVM
        return ["-M", machine, "-m", str(mib), "-kernel", kernel, "-initrd", initrd,
                "-append", "console=ttyS0 panic=-1 " + params]

    def disk(self, number, path):
        name = f"disk{number}"
        more = ["-object", f"iothread,id=io{number},poll-max-ns=0"] if self.thread else []
        return [*more, "-drive", f"if=none,id={name},file={path},format=raw,cache=none,aio={self.aio},discard=unmap",
                "-device", f"virtio-blk-device,drive={name}" + (f",iothread=io{number}" if self.thread else "")]

    def folder(self, path):
        """virtiofsd as ebb starts it; the memory that it needs is as ebb's, a memfd."""
        subprocess.Popen([VIRTIOFSD, "--socket-path=/run/folder.sock", "-f", "-o", f"source={path}", "-o", "sandbox=namespace",
                          "-o", "log_level=err"], stderr=subprocess.DEVNULL)
        until = time.monotonic() + LIMIT
        while not os.path.exists("/run/folder.sock") and time.monotonic() < until:
            time.sleep(0.1)
        return ["-chardev", "socket,id=fs,path=/run/folder.sock", "-device", "vhost-user-fs-device,chardev=fs,tag=bench",
                "-object", f"memory-backend-memfd,id=ram,size={GUEST_MIB}M,share=on", "-machine", "memory-backend=ram"]

    def network(self, mode, fds):
        if not mode:
            return []
        if mode == "passt":
            fds.append(passt())
            return ["-netdev", f"stream,id=n0,server=off,addr.type=fd,addr.str={fds[-1]}",
                    "-device", f"virtio-net-device,netdev=n0,host_mtu={MTU}"]
        return ["-netdev", f"tap,id=n0,ifname={TAP},script=no,downscript=no,vhost={'on' if mode == 'vhost' else 'off'}",
                "-device", "virtio-net-device,netdev=n0"]


class QemuRing(Qemu):
    """QEMU with what it has for disks at speed. No polling: a host of one CPU would only lose by it."""
    aio, thread = "io_uring", "yes"


VMMS = {"ebb": Ebb, "qemu": QemuRing, "qemu-plain": Qemu}
ADDRESS = {"passt": (USER_HOST, USER_GATEWAY), "tap": (TAP_GUEST, TAP_HOST), "vhost": (TAP_GUEST, TAP_HOST)}


def network_up(mode):
    mine, gateway = ADDRESS[mode]
    return f"ip addr add {mine}/24 dev eth0; ip link set eth0 up; ip route add default via {gateway}; "


class Bench:
    def __init__(self, vmm, disks, runs):
        self.vmm, self.disks, self.runs = VMMS[vmm](), disks, runs
        self.env = os.environ | {"EBB_RUNTIME_DIR": "/run/ebb"}

    def guest(self, what, command, *options, network=None, kernel="/kernel", initrd="/initramfs", params="quiet"):
        say("doing", what)
        time.sleep(0.5)  # by then that is outside
        params = f'{params} reboot=t ebb.cmd="{command}"'
        fds = []  # which the VMM inherits
        argv = [*self.vmm.argv, *self.vmm.kernel(kernel, initrd, GUEST_MIB, params), *self.vmm.network(network, fds), *options]
        try:
            return guest.Guest(argv, env=self.env, pass_fds=fds)
        finally:
            for fd in fds:
                os.close(fd)

    def run(self, what, command, *options, network=None):
        """What a guest says that does this to its end."""
        with self.guest(what, command, *options, network=network) as vm:
            status = vm.wait_for(r"^ebb-guest: exit=(\d+)", LIMIT)[1][1]
            if status != "0":
                raise guest.GuestError(f"{command!r} ended with status {status}\n--- console\n{vm.console()}")
            if "page cache" in vm.stderr():  # not the same disk as QEMU's any more, which would not start
                raise guest.GuestError(vm.stderr())
            return vm.console()


# --- The scenarios ------------------------------------------------------------------------------------------------


def times(console, pattern, rows, runs):
    """ROW: seconds; the median of the runs after the first, which warms up."""
    found = [int(us) / 1e6 for us in re.findall(pattern, console, re.M)]
    each = runs + 1
    if len(found) != each * len(rows):
        raise guest.GuestError(f"{len(found)} results instead of {each * len(rows)}\n--- console\n{console}")
    return {row: statistics.median(found[each * i + 1:each * (i + 1)]) for i, row in enumerate(rows)}


def block(bench, rows=None, before="", suffix=""):
    """Requests a second."""
    rows = rows or BLOCK
    jobs = "; ".join(f"r {arguments} --count {count}" for arguments, count in rows.values())
    turns = " ".join(str(i) for i in range(bench.runs + 1))
    command = f"{before}r() {{ for i in {turns}; do blockio /dev/vda $* || exit; done; }}; {jobs}"
    console = bench.run("disk" + suffix, command, *bench.vmm.disk(0, bench.disks[0]))
    for row, seconds in times(console, r"^blockio: .* in (\d+) us$", rows, bench.runs).items():
        say("value", row + suffix, rows[row][1] / seconds)


def blocks(bench):
    block(bench)
    block(bench, {row: BLOCK[row] for row in ("read random 32", "write random 32")}, REPORTING, " reporting")


def network(bench, mode):
    """MiB a second, and microseconds for a round trip."""
    amounts = {name: amount for name, (_, amount) in NET.items()}
    jobs = "; ".join(f"r {NET[name][0]} {ADDRESS[mode][1]} {PORT} {amount}" for name, amount in amounts.items())
    turns = " ".join(str(i) for i in range(bench.runs + 1))
    command = f"{network_up(mode)}r() {{ for i in {turns}; do netio $* || exit; done; }}; {jobs}"
    console = bench.run(f"network by {mode}", command, network=mode)
    for name, seconds in times(console, r"^netio: .* in (\d+) us$", NET, bench.runs).items():
        value = seconds / amounts[name] * 1e6 if name == "trip" else amounts[name] / MIB / seconds
        say("value", f"{mode} {name}", value)


def networks(bench):
    with guest.Guest(["/bin/netio", "listen", str(PORT)]) as server:
        server.wait_for("^netio: listens$", LIMIT)
        for mode in ("passt", "tap"):
            network(bench, mode)
        if os.path.exists("/dev/vhost-net") and can_vhost(bench):
            network(bench, "vhost")
        else:
            for name in NET:
                say("value", f"vhost {name}", None)


def can_vhost(bench):
    if not isinstance(bench.vmm, Ebb):
        return True
    return "vhost" in subprocess.run(["/ebb", "run", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def keepers_memory(pid):
    """Bytes of the processes that a VMM has made for itself, but for passt."""
    total = 0
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/smaps_rollup", encoding="ascii") as smaps:
                total += int(re.search(r"^Anonymous: +(\d+) kB$", smaps.read(), re.M)[1]) * 1024
    return total


def idle(bench):
    """A guest with a network and two disks that has used them and waits for a key."""
    command = (network_up("passt") + "for d in vda vdb; do blockio /dev/$d read --count 100; done; "
               f"ping -c 1 -W 20 {USER_GATEWAY} >/dev/null; echo sits; read end")
    options = [*bench.vmm.disk(0, bench.disks[0]), *bench.vmm.disk(1, bench.disks[1])]
    with bench.guest("idle", command, *options, network="passt") as vm:
        wait_for(vm, "^sits$")
        time.sleep(SETTLE)
        before = scale_host.ran_of(vm.pid)
        time.sleep(WINDOW)
        after = scale_host.ran_of(vm.pid)
        say("value", "idle wakes", (after[2] - before[2]) / WINDOW)
        say("value", "idle cpu", (after[0] - before[0]) / WINDOW * 1e6)
        say("value", "memory", boot_host.own_memory(vm.pid, GUEST_MIB * MIB) / MIB)
        say("value", "memory keeper", keepers_memory(vm.pid) / MIB)


def cloud(bench):
    """Debian's own kernel, which finds its devices by ACPI, with a disk; milliseconds."""
    # Emulated, the guest's processor would test the kernel's ciphers for minutes.
    params = "quiet cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
    for turn in range(2):  # the first reads everything once
        with bench.guest("Debian's kernel", "coldplug; blockio /dev/vda read --count 1 && echo found; read end",
                         *bench.vmm.disk(0, bench.disks[0]), kernel="/cloud", initrd="/cloud-initrd", params=params) as vm:
            init = vm.lines[vm.wait_for("^ebb-guest: init$", LIMIT)[0]][0]
            disk = vm.lines[wait_for(vm, "^found$")[0]][0]
        if turn:
            say("value", "cloud init", init * 1e3)
            say("value", "cloud disk", disk * 1e3)


def command(bench, *options):
    """A command that writes a byte, in a guest that sees the current folder: milliseconds until that is there, and to the end of it all."""
    say("doing", f"sandbox {' '.join(options)} -- echo")
    time.sleep(0.5)  # by then that is outside
    start = time.monotonic()
    with subprocess.Popen(["/ebb", "sandbox", *options, "--", "echo"], cwd="/job", env=bench.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        os.read(process.stdout.fileno(), 1)
        first = time.monotonic() - start
        if process.wait(LIMIT):
            sys.exit(f"bench-devices: ebb sandbox ended with status {process.returncode}")
    return {"first": first * 1e3, "end": (time.monotonic() - start) * 1e3}


def sandbox(bench):
    """A new guest, and one of a pool."""
    machine = ["-c", "1", "-m", f"{GUEST_MIB}M", "-k", "/kernel", "-i", "/initramfs"]
    os.mkdir("/job")
    for _ in range(2):  # the first reads everything once
        took = command(bench, *machine)
    for name, value in took.items():
        say("value", f"sandbox {name}", value)
    with subprocess.Popen(["/ebb", "pool", "web", "--sandbox", "--", *machine], env=bench.env, stderr=subprocess.DEVNULL) as pool:
        for _ in range(2):
            time.sleep(SETTLE)  # one has started
            took = command(bench, "--pool", "web")
        pool.terminate()
    for name, value in took.items():
        say("value", f"pool {name}", value)


def folders(bench):
    """A folder in the host's memory. Before each turn the guest forgets what it knows of it; MiB or files a second."""
    os.makedirs("/shared/tree")
    with open("/shared/big", "wb") as file:
        file.write(b"\xeb" * FOLDER_MIB * MIB)
    for number in range(FOLDER_FILES):
        with open(f"/shared/tree/{number}", "wb") as file:
            file.write(b"\xeb" * 4096)
    turns = " ".join(str(i) for i in range(bench.runs + 1))
    command = (f"t() {{ for i in {turns}; do sync; echo 3 >/proc/sys/vm/drop_caches; echo begin; eval $1 >/dev/null || exit; echo end; done; }}; "
               "mkdir /m; mount -t virtiofs bench /m || exit; " + "; ".join(f"t '{job}'" for job, _ in FOLDER.values()))
    with bench.guest("folder", command, *bench.vmm.folder("/shared")) as vm:
        status = vm.wait_for(r"^ebb-guest: exit=(\d+)", LIMIT)[1][1]
        begun, ended = ([when for when, text in vm.lines if text == word] for word in ("begin", "end"))
        if status != "0" or len(ended) != len(FOLDER) * (bench.runs + 1):
            raise guest.GuestError(f"the folder's guest ended with status {status}\n--- console\n{vm.console()}")
    took = [end - begin for begin, end in zip(begun, ended)]
    for i, (row, (_, amount)) in enumerate(FOLDER.items()):
        each = took[i * (bench.runs + 1) + 1:(i + 1) * (bench.runs + 1)]
        say("value", row, amount / statistics.median(each))


SCENARIOS = {"blocks": blocks, "networks": networks, "idle": idle, "cloud": cloud, "sandbox": sandbox, "folders": folders}


def main():
    parser = argparse.ArgumentParser()
    for name in ("ebb", "kernel", "initramfs", "cloud"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--vmm", choices=VMMS, required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, required=True)
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    disks = make_host(args)
    files = {"/kernel": args.kernel, "/initramfs": args.initramfs}
    if args.scenario == "cloud":
        files["/cloud"] = f"{args.cloud}/kernel"
        with open(f"{HERE}/cloud-initrd", "wb") as out:
            for path in (f"{args.cloud}/modules.cpio", args.initramfs):
                with open(path, "rb") as part:
                    shutil.copyfileobj(part, out)
    guest.namespaces()  # asked, and kept, while there is a program for it
    versions = measuring.enter(HERE, args.ebb, files)
    bench = Bench(args.vmm, disks, args.runs)

    def measure():
        # Also reads everything once.
        version = re.search(r"^(\d\S*)$", bench.run("warming up", "uname -r"), re.M)[1]
        say("versions", versions | {"guest": version})
        SCENARIOS[args.scenario](bench)

    return measuring.run(measure, "bench-devices")


if __name__ == "__main__":
    sys.exit(main())
