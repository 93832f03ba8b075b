"""Runs a program under what deploy/systemd/hardening.conf leaves to it, where no systemd runs to do that.

`unshare --mount python confine.py COMMAND…` as root: a read-only file system with a /tmp of its own, user nobody, no
capability, no new privileges, no memory that is written and executed, and the unit's system calls alone.
"""

import ctypes
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

HARDENING = Path(__file__).parents[2] / "deploy" / "systemd" / "hardening.conf"
NOBODY = 65534
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
ALLOW, REFUSE_WITH_EPERM = 0x7FFF0000, 0x00050001


def main() -> None:
    command = sys.argv[1:]
    if command[0] == "--inside":
        forbid_executable_memory()
        filter_system_calls()
        os.execvp(command[1], command[1:])  # noqa: S606
    keep_reachable(Path(sys.base_prefix).resolve())
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")  # noqa: S108
    mount("-o", "remount,bind,ro", "/")
    dropped = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    inside = [sys.executable, __file__, "--inside", *command]
    os.execvp("setpriv", ["setpriv", *dropped, "--no-new-privs", *inside])  # noqa: S606


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def keep_reachable(prefix: Path) -> None:
    """An interpreter below /root is shown to nobody through an empty /root; it is no part of what is tried."""
    closed = [folder for folder in reversed(prefix.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if closed:
        mount("--bind", str(prefix), "/mnt")
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed[0]))
        prefix.mkdir(parents=True)
        mount("--bind", "/mnt", str(prefix))


def forbid_executable_memory() -> None:
    """MemoryDenyWriteExecute= as newer kernels have it; systemd 252 does the same by a filter."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        print("this kernel has no PR_SET_MDWE: executable memory is not forbidden here", file=sys.stderr)


def filter_system_calls() -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE_WITH_EPERM))
    for name in allowed_calls():
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are of other processors
            assert seccomp.seccomp_rule_add(context, ALLOW, number, 0) == 0, name
    assert seccomp.seccomp_load(context) == 0


def allowed_calls() -> set[str]:
    """Of the SystemCallFilter= lines, as systemd resolves their groups."""
    calls: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", HARDENING.read_text(encoding="utf-8"), re.M):
        named = set().union(*(members(group) for group in line.removeprefix("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    assert len(calls) > 200, "systemd-analyze knows no such groups"
    return calls


def members(group: str) -> set[str]:
    printed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = [line.strip() for line in printed.stdout.splitlines()[1:] if not line.strip().startswith("#")]
    found: set[str] = set()
    for name in filter(None, names):
        found |= members(name) if name.startswith("@") else {name}
    return found


if __name__ == "__main__":
    main()
