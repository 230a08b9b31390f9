# SPDX-License-Identifier: Apache-2.0
"""ebb sandbox as far as it comes without a guest: each mistake has one line, and leaves nothing."""

import os
import subprocess

import pytest
from conftest import EBB, LIMIT, wait


@pytest.fixture
def files(tmp_path):
    """A kernel and an initrd that are none."""
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(b"x" * 100)
    return ["-k", tmp_path / "kernel", "-i", tmp_path / "initrd"]


@pytest.fixture
def nothing_left():
    def left():
        return {name for name in os.listdir("/tmp") if name.startswith("ebb-sandbox-")}

    before = left()
    yield
    # That of another sandbox, which began beside this test, goes with its guest.
    wait(lambda: not left() - before, "a folder of a sandbox is left in /tmp")


@pytest.mark.parametrize("words, said", [
    ([], ["no command is given", "ebb sandbox -- COMMAND"]),
    (["--"], ["no command is given"]),
    (["--env", "", "true"], ['"" names no variable', "NAME=VALUE"]),
    (["--env", "=x", "true"], ['"=x" names no variable']),
    (["--env"], ["--env needs a value"]),
    (["--fs", "", "true"], ["folder's name is empty"]),
    (["--fs", "/nonesuch", "true"], ["cannot share /nonesuch", "No such file"]),
    (["--fs", "/usr,rw", "true"], ['"rw" of the folder', "ro"]),
    (["-m", "1G", "-m", "2G", "true"], ["--mem is given twice"]),
    (["--rw", "", "true"], ["folder's name is empty"]),
    (["--rw", "/nonesuch", "true"], ["cannot share /nonesuch", "No such file"]),
    (["--fs", "/usr,ro", "--rw", "/usr/../usr", "true"], ["/usr/../usr is to be both read-only", "leave out one"]),
    (["--rw", "/usr", "--fs", "/usr,ro", "true"], ["/usr is to be both read-only"]),
    (["--ro", "--rw", ".", "true"], ["is to be both read-only", "--rw"]),
    (["--ro", "--rw", "/usr", "--fs", "/usr", "--fs", ".,ro", "--fs", "/nonesuch", "true"], ["cannot share /nonesuch"]),
    (["-n", "user"] * 40 + ["true"], ["--network is one option too many"]),
], ids=str)
def test_mistakes(ebb, words, said):
    ebb("sandbox", *words).failed(125, *said)


@pytest.mark.parametrize("words, said", [
    (["-m", "lots"], ['memory "lots" is not a size']),
    (["-c", "0"], ['"0" is not a number of CPUs']),
    (["--name", "a/b"], ["the name"]),
    (["-n", "nonesuch"], ["nonesuch"]),
    (["--free-page-reporting", "perhaps"], ["perhaps"]),
    (["--cgroup", "/tmp,cpu=0"], ['"0" is no share of the CPUs']),
    (["--cgroup", "/tmp"], ["needs a cgroup of version 2"]),
    (["--cgroup", "/nonesuch"], ["cannot open the cgroup", "No such file"]),
], ids=str)
@pytest.mark.usefixtures("nothing_left")
def test_values_of_run(ebb, files, words, said):
    ebb("sandbox", *files, *words, "--", "true").failed(125, *said)


@pytest.mark.usefixtures("nothing_left")
def test_not_a_kernel(ebb, files, runtime):
    """The guest's process says why it could not start, and the other one adds nothing."""
    ebb("sandbox", *files, "--sandbox-is-no-option").failed(125, "unknown option")
    done = ebb("sandbox", *files, "--", "true")
    assert done.status == 125 and done.out == ""
    assert 1 <= done.err.count("\n") <= 2, done.err
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert "no KVM" not in done.err
    assert not os.listdir(runtime)


def test_the_whole_machine(ebb, files):
    ebb("sandbox", *files, "--", "true", cwd="/").failed(125, "the current folder is /", "change to")
    for option in ("--fs", "--rw"):
        ebb("sandbox", *files, option, "/", "true").failed(125, "/ cannot be shared")


def test_home(runtime, files, tmp_path):
    """The user's own, and what is above it, is shared only if it is named."""
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)

    def said(cwd, *words):
        env = os.environ | {"EBB_RUNTIME_DIR": runtime, "HOME": str(home)}
        return subprocess.run([EBB, "sandbox", *map(str, files), *words, "true"], env=env, cwd=cwd, timeout=LIMIT, capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL).stderr

    for folder in (home, tmp_path):
        assert "with all that is yours" in said(folder) and "--fs ." in said(folder)
    assert "with all that is yours" not in said(home / "work") + said(home, "--fs", ".")


def test_no_current_folder(runtime, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD"; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", EBB, "sandbox", "-k", "K", "-i", "I", "true"], cwd=gone, timeout=LIMIT,
                          env=os.environ | {"EBB_RUNTIME_DIR": runtime}, capture_output=True, text=True, check=False)
    assert done.returncode == 125 and "cannot find the current folder" in done.stderr


def test_no_kernel(runtime, tmp_path):
    """ebb is where no guest is beside it."""
    alone = tmp_path / "bin" / "ebb"
    alone.parent.mkdir()
    alone.write_bytes(open(EBB, "rb").read())
    alone.chmod(0o755)
    done = subprocess.run([alone, "sandbox", "true"], env=os.environ | {"EBB_RUNTIME_DIR": runtime}, capture_output=True,
                          text=True, timeout=LIMIT, check=False)
    assert done.returncode == 125 and done.stderr.count("\n") == 1
    for word in ("no guest's kernel", "make guest", "make install-guest", "-k and -i"):
        assert word in done.stderr


@pytest.mark.usefixtures("nothing_left")
def test_no_kvm(runtime, files, tmp_path):
    """In one line, and without a trace; the control is test_not_a_kernel, where there is one."""
    dev = tmp_path / "dev"
    dev.mkdir()
    (dev / "null").touch()
    script = f"mount --bind /dev/null {dev}/null && mount --rbind {dev} /dev && exec \"$@\""
    argv = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "--propagation", "private"]
    if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    done = subprocess.run([*argv, "sh", "-c", script, "sh", EBB, "sandbox", *map(str, files), "true"], cwd=tmp_path, timeout=LIMIT,
                          env=os.environ | {"EBB_RUNTIME_DIR": runtime}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 125 and done.stderr.count("\n") == 1, done
    assert "there is no KVM here" in done.stderr and "/dev/kvm" in done.stderr


def test_help_ends_at_the_command(ebb, files):
    """What follows the command is the command's."""
    done = ebb("sandbox", *files, "true", "--help")
    assert done.status == 125 and "Usage" not in done.out
