# SPDX-License-Identifier: Apache-2.0
"""`make install`, and what it installs beside ebb: man pages, and completion for shells."""

import os
import pty
import re
import runpy
import select
import signal
import stat
import subprocess
import time

import pytest
from conftest import EBB, LIMIT, TREE
from test_words import COMMANDS

pytestmark = pytest.mark.together

BASH = "usr/share/bash-completion/completions/ebb"
ZSH = "usr/share/zsh/site-functions/_ebb"
PAGES = {"ebb": "usr/share/man/man1/ebb.1", "ebb-run": "usr/share/man/man1/ebb-run.1"}
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"]
RUN_SECTIONS = [*SECTIONS[:-1], "FOR USERS OF KVMTOOL", *SECTIONS[-1:]]
# What the help calls values of which a shell can offer nothing.
FREE = {"NAME", "PACKAGE[,PACKAGE]...", "NAME[=VALUE]", "STRING", "SIZE", "N", "MB", "SECONDS", "CPULIST", "KEY", "CPU", "COLUMN", "TEXT", "USER", "OPTION", "PATTERN"}


def make(*words):
    # This run's own make may be waiting for these tests: its jobs are not theirs.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-s", f"BUILD={os.path.dirname(EBB)}", *words], cwd=TREE, env=env, check=True,
                          stdin=subprocess.DEVNULL, timeout=10 * LIMIT)


def written(root):
    return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}


@pytest.fixture(scope="module", name="installed")
def make_installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("with space")
    umask = os.umask(0o077)
    try:
        make("install", f"DESTDIR={root}", "prefix=/usr")
    finally:
        os.umask(umask)
    return str(root)


def helps(ebb):
    """Command → the long options of its help."""
    return {command: re.findall(r"^  (?:-\S, |    )(--[\w-]+)", ebb("help", command).out, re.MULTILINE) for command in COMMANDS}


# --- installing ---------------------------------------------------------------------------------


def test_install(installed):
    assert written(installed) == {"usr/bin/ebb", BASH, ZSH, *PAGES.values()}
    for path in written(installed):
        mode = stat.S_IMODE(os.stat(os.path.join(installed, path)).st_mode)
        assert mode == (0o755 if path == "usr/bin/ebb" else 0o644), (path, oct(mode))
    for folder, _, _ in os.walk(os.path.join(installed, "usr")):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755, folder
    done = subprocess.run([os.path.join(installed, "usr/bin/ebb"), "version"], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.startswith("ebb ")


def test_guest(tmp_path):
    """The guest of `ebb sandbox` goes where ebb looks for it."""
    kernel = "vmlinux" if os.uname().machine == "x86_64" else "Image"
    built = tmp_path / "built"
    built.mkdir()
    for name in (kernel, "initramfs.cpio"):
        (built / name).write_bytes(b"x" * 100)
    root = tmp_path / "root"
    make("install", "install-guest", f"GUEST_BUILD={built}", f"DESTDIR={root}", "prefix=/usr")
    done = subprocess.run([root / "usr/bin/ebb", "sandbox", "-m", "1M", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 125 and "16M or more" in done.stderr, done.stderr
    make("uninstall", f"DESTDIR={root}", "prefix=/usr")
    assert not written(root)


def test_uninstall(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "bindir=/opt/bin", "mandir=/opt/man")
    assert "opt/bin/ebb" in written(tmp_path) and "opt/man/man1/ebb.1" in written(tmp_path)
    (tmp_path / "opt/bin/other").touch()
    make("uninstall", f"DESTDIR={tmp_path}", "bindir=/opt/bin", "mandir=/opt/man")
    assert written(tmp_path) == {"opt/bin/other"}


# --- man pages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="page")
def make_page(installed):
    """The text of a man page, one line a paragraph."""
    def page(name):
        done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", os.path.join(installed, PAGES[name])], check=True,
                              stdout=subprocess.PIPE, encoding="utf-8")
        return re.sub(".\b", "", done.stdout)

    return page


@pytest.mark.parametrize("name", PAGES)
def test_page_is_well_formed(installed, name):
    path = os.path.join(installed, PAGES[name])
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], stdout=subprocess.PIPE, text=True, check=False)
    assert done.stdout == ""
    done = subprocess.run(["man", "--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("name", PAGES)
def test_page_has_sections(page, name):
    # The overview's options are those of its commands.
    sections = [{"OPTIONS": "COMMANDS"}.get(one, one) for one in SECTIONS] if name == "ebb" else RUN_SECTIONS
    assert [line for line in page(name).splitlines() if re.fullmatch(r"[A-Z ]*[A-Z]", line)] == sections
    assert "@" not in page(name)


def test_pages_have_each_option(ebb, page):
    for command, options in helps(ebb).items():
        text = page("ebb-run") if command == "run" else page("ebb").split(f"ebb {command} [OPTION]...")[1].split("\n   ebb ")[0]
        listed = re.findall(r"^       (?:-\S, )?(--[\w-]+)", text.split("EXIT STATUS")[0], re.MULTILINE)
        assert sorted(listed) == sorted(set(options) - {"--help"}), command
    # What is told of an option is what the help tells, in any lines.
    assert "put SIZE into the guest's memory balloon at the start; the guest keeps at least 16M" in page("ebb-run")


def test_documents_name_no_other_option(ebb, page):
    known = {option for options in helps(ebb).values() for option in options}
    texts = {name: page(name) for name in PAGES}
    # What kvmtool has is told apart: those that we have, too, and the others, each with what to do instead.
    rest, kvmtool, last = re.split(r"^FOR USERS OF KVMTOOL$|^SEE ALSO$", texts["ebb-run"], flags=re.MULTILINE)
    texts["ebb-run"] = rest + last
    same, others = kvmtool.split("The others, and what to do instead:")
    theirs = set(re.findall(r"^       (--[\w*-]+)(?:\n +| +)\S", others, re.MULTILINE))
    assert {"--balloon", "--nodefaults", "--mem"} <= set(re.findall(r"--[\w-]+", same)) <= set(helps(ebb)["run"])
    # --sandbox is an option of both, and means two things.
    assert {"--9p", "--vnc", "--firmware", "--disable-*"} <= theirs and theirs & known == {"--sandbox"}
    assert "--vsock" in same and "--sandbox" not in same
    assert set(re.findall(r"(?<![\w-])--[a-z][\w*-]*", others)) <= known | theirs
    for name in ("README.md", "docs/limits.md", "docs/snapshots.md"):
        with open(os.path.join(TREE, name), encoding="utf-8") as file:
            texts[name] = file.read()
    for name, text in texts.items():
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= known, name
    assert all(f"`ebb {command}" in texts["README.md"] for command in COMMANDS)


def test_pages_name_ebbs_version(ebb, page):
    assert all(ebb("version").out.strip() in page(name) for name in PAGES)


# --- completion ---------------------------------------------------------------------------------


@pytest.fixture(name="complete")
def make_complete(installed, runtime):
    """What bash is offered for the last of the words."""
    def complete(*words):
        script = 'source "$0"; compopt() { echo "compopt $*"; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ebb; ' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", script, os.path.join(installed, BASH), EBB, *words], check=True, timeout=LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"EBB_RUNTIME_DIR": runtime})
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return complete


def test_bash_commands_and_options(ebb, complete):
    assert complete("") == COMMANDS
    assert complete("re") == ["reclaim", "resume"]
    assert complete("help", "sto") == ["stop"]
    for command, options in helps(ebb).items():
        assert [word for word in complete(command, "-") if word.startswith("--")] == options
    assert complete("balloon", "--in") == ["--inflate"] and complete("balloon", "zzz") == [""]


def test_bash_values(complete):
    assert complete("run", "--discard", "") == ["dontneed", "free"]
    assert complete("run", "--discard", "=") == ["dontneed", "free"]
    assert complete("run", "--discard", "=", "f") == ["free"]
    assert complete("run", "--mem", "") == complete("run", "--balloon", "=") == [""]
    assert complete("run", "--free-page-reporting", "=") == ["on", "off"]
    for words in (("--kernel", ""), ("-i", "x"), ("-d", ""), ("",), ("--debug", ""), ("--free-page-reporting", "")):
        assert complete("run", *words) == ["compopt -o default", ""], words


def test_bash_guests(fake, complete):
    fake("web")
    fake("we $(touch x)")
    fake("other")
    assert complete("stop", "-n", "w") == ["we\\ \\$\\(touch\\ x\\)", "web"]
    assert complete("stat", "--name", "=") == ["other", "we\\ \\$\\(touch\\ x\\)", "web"]
    assert complete("ssh", "w") == complete("console", "w") == ["we\\ \\$\\(touch\\ x\\)", "web"]
    # A new guest has a name that none has yet.
    assert complete("run", "--name", "w") == [""]


def test_scripts_are_well_formed(installed):
    subprocess.run(["shellcheck", "-s", "bash", os.path.join(installed, BASH)], check=True)
    subprocess.run(["zsh", "-n", os.path.join(installed, ZSH)], check=True)


def test_words_offered_are_taken(ebb):
    manual = runpy.run_path(os.path.join(TREE, "scripts", "manual"))
    commands, _ = manual["read_commands"](EBB)
    offered = {(command.name, option.name): (command.offers(option), option)
               for command in commands.values() for option in command.options if option.value}
    assert manual["WORDS"].keys() <= offered.keys()
    for (command, name), (words, option) in offered.items():
        if not isinstance(words, list):
            # A value of a new kind: scripts/manual has to be told its words, or this file that there are none.
            assert option.value.startswith(("FILE", "DIR", "PATH")) or option.value in FREE, (command, name, option.value)
            continue
        assert all(re.search(rf"\b{word}\b", option.help) for word in words), (command, name)
        for word in words:
            # What is missing comes after the words.
            rest = {"sandbox": ["-k", "/nonesuch", "-i", "/nonesuch", "true"], "keeper": ["status"], "setup": ["--size=1"],
                    "snapshot": ["/nonesuch"]}.get(command, [])
            complaint = ebb(command, f"--{name}={word}", *rest).err
            assert re.search("no kernel|no guest|/nonesuch|is too small|a keeper that starts", complaint), complaint


class Shell:
    """An interactive shell on a terminal, in which ebb is a program that tells how it was called."""

    def __init__(self, argv, folder, runtime):
        stub = os.path.join(folder, "ebb")
        with open(stub, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\n[ "$1" = list ] && exec {EBB} "$@"\nprintf "<%s>" "$@"\necho " done"\n')
        os.chmod(stub, 0o755)
        env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", "EBB_RUNTIME_DIR": runtime, "HISTFILE": "",
                            "HOME": str(folder)}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, env)

    def type(self, text, expected):
        """Types, and waits for what the terminal then shows."""
        os.write(self.fd, text.encode())
        shown, end = "", time.monotonic() + LIMIT
        while not re.search(expected, shown):
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"{expected} does not come: {shown!r}"
            shown += os.read(self.fd, 4096).decode("utf-8", "replace")

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def start(name, installed):
    """The shell's command, and what is typed first."""
    if name == "bash":
        return ["bash", "--norc", "--noprofile", "-i"], f'source "{installed}/{BASH}"'
    return ["zsh", "-f", "-i"], f'fpath=("{installed}/{os.path.dirname(ZSH)}" $fpath); autoload -Uz compinit; compinit -D -u'


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_typed(installed, fake, runtime, tmp_path, name):
    fake("web")
    (tmp_path / "vmlinux").touch()
    argv, first = start(name, installed)
    shell = Shell(argv, tmp_path, runtime)
    try:
        shell.type(f"{first}; echo rea''dy\n", "ready")
        shell.type("ebb rec\t--comp\t\n", "<reclaim><--compact> done")
        shell.type("ebb run --disc\tfr\t-k vml\t\n", "<run><--discard(=|><)free><-k><vmlinux> done")
        shell.type("ebb stop -n w\t\n", "<stop><-n><web> done")
        shell.type("ebb help doc\t\n", "<help><doctor> done")
        # Nothing is offered that is not there.
        shell.type("ebb run --mem vml\t\n", "<run><--mem><vml> done")
    finally:
        shell.end()
