"""What a forked process does to itself before it runs anything of a user: walls first, rights last.

The order matters: namespaces need rights, so they come first; the filter of system calls comes last, because it takes
away what the steps before it need. A step that fails ends the process with the reason, and nothing runs unconfined.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agentrun.emulator.launcher import kernel, landlock, seccomp
from agentrun.emulator.launcher.plan import LANDLOCK, NAMESPACES, NONE, UPPER, Plan

# What the processes of a sandbox have in common. Their process ids are not: each tree ends as a whole with its first.
SHARED = ("net", "ipc", "uts", "mnt")
OWN = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET
INSIDE_UID = 1000
DEVICES = "/dev"
SHARED_MEMORY = "/dev/shm"
INODES_PER_MEBIBYTE = 64
# The machine has some thousands for everybody.
MOST_TERMINALS = 256


def open_namespaces() -> list[int]:
    """Descriptors of what a sandbox shares, in the order in which they are entered; they keep it alive."""
    return [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in SHARED]


def enter_cgroups(descriptors: tuple[int, ...]) -> None:
    """Move this process, which has one thread, into every cgroup whose door is open; from here on the limits hold."""
    for descriptor in descriptors:
        os.write(descriptor, b"0")


def set_environment(environment: Mapping[str, str]) -> None:
    """Replace the environment; most of it is the launcher's own already, and every change costs."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


class Walls:
    """Prepared once, before any fork, because compiling and probing would be paid for by every sandbox."""

    def __init__(self, *, bounded: bool = False) -> None:
        """`bounded` says that the bounding set of capabilities is empty already, for all that is forked from here."""
        self._bounded = bounded
        self._filter = seccomp.compile_filter()
        # Landlock keeps nobody from datagrams and the sockets of the host, so without namespaces there are none.
        self._filter_without_sockets = seccomp.compile_filter(sockets=False)
        self._shared = landlock.Ruleset(readable=["/"], devices=[DEVICES])

    def raise_around(self, plan: Plan) -> None:
        """Make the namespaces of a sandbox and what they show, all but the user's; see `nest`.

        This process must be the first of a process id namespace of its own.
        """
        kernel.unshare(OWN)
        kernel.bring_loopback_up()
        _mount_private(plan)

    def nest(self, plan: Plan) -> None:
        """Become an ordinary user where there are no user ids to give away."""
        if plan.nested:
            _enter_user_namespace()

    def enter(self, plan: Plan, namespaces: Sequence[int]) -> None:
        """Enter the namespaces of a sandbox; this process must be the first of a process id namespace of its own."""
        for namespace in namespaces:
            kernel.setns(namespace)
        # What /proc shows belongs to the process id namespace, so these mounts cannot be the same ones.
        kernel.unshare(kernel.CLONE_NEWNS)
        _mount_proc()
        self.nest(plan)

    def join(self, plan: Plan, first: int) -> None:
        """Enter all namespaces of another process, by a descriptor of it."""
        kernel.setns(first, OWN | (kernel.CLONE_NEWUSER if plan.nested else 0))

    def lower_rights(self, plan: Plan, kept: Iterable[int], *, traceable: bool) -> None:
        """Give up everything for good: limits, descriptors, user, capabilities, file access, system calls.

        A process that is not `traceable` cannot be looked into by others of its user.
        """
        kept = {0, 1, 2, *kept}
        os.chdir(plan.home)
        for name, value in plan.limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))
        kernel.close_descriptors_except({*kept, *self._shared.descriptors})
        if plan.walls != NONE:
            kernel.set_no_new_privileges()
            self._restrict_files(plan)
            if not self._bounded:
                kernel.drop_bounding_set()
            _become_user(plan)
        for descriptor in self._shared.descriptors:
            os.close(descriptor)  # They lead out of the sandbox.
        if plan.walls != NONE:
            # From here on others of its user may look into it, so what it held must be gone.
            kernel.set_dumpable(traceable)
            seccomp.install(self._filter if plan.walls == NAMESPACES else self._filter_without_sockets)

    def _restrict_files(self, plan: Plan) -> None:
        if plan.walls == NAMESPACES:
            targets = [target for _, target in plan.overlays]
            self._shared.restrict(writable=[plan.home, plan.temporary, SHARED_MEMORY, *targets])
        else:
            own = landlock.Ruleset(readable=plan.readable, devices=[DEVICES])
            own.restrict(writable=[plan.home, plan.temporary], network=False, scoped=plan.walls == LANDLOCK)


def _become_user(plan: Plan) -> None:
    if plan.user is not None:
        os.setgroups([])
        os.setresgid(plan.user, plan.user, plan.user)
        os.setresuid(plan.user, plan.user, plan.user)
    kernel.drop_own_capabilities()


def _mount_private(plan: Plan) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    owner = "" if plan.user is None else f",uid={plan.user},gid={plan.user}"
    room = f"size={plan.disk}m,nr_inodes={plan.disk * INODES_PER_MEBIBYTE}"
    covered = [(folder, os.open(folder, os.O_PATH)) for folder in plan.readable if folder.startswith(plan.temporary)]
    kernel.mount("tmpfs", plan.home, "tmpfs", flags, f"mode=700,{room}{owner}")
    for folder in (plan.temporary, SHARED_MEMORY):
        kernel.mount("tmpfs", folder, "tmpfs", flags, f"mode=1777,{room}")
    for folder, descriptor in covered:
        _show_again(folder, descriptor)
    if plan.overlays:
        kernel.mount("tmpfs", UPPER, "tmpfs", flags, f"mode=755,{room}")
        for number, (lower, target) in enumerate(plan.overlays):
            _mount_overlay(plan, lower, target, f"{UPPER}/{number}")
    kernel.mount(
        "devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=0666,max=256"
    )
    _mount_proc()
    if plan.identity is not None:
        for name in ("passwd", "group"):
            kernel.mount(f"{plan.identity}/{name}", f"/etc/{name}", flags=kernel.MS_BIND)


def _mount_proc() -> None:
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def _mount_overlay(plan: Plan, lower: str, target: str, place: str) -> None:
    """Make a folder writable by its user, every file of it, without a change to the folder itself."""
    for name in ("changes", "work"):
        Path(place, name).mkdir(parents=True)
    # Root gives every file to the user, which copies no more than what describes it; elsewhere they are the user's.
    kind = "userxattr" if plan.user is None else "metacopy=on"
    kernel.mount(
        "overlay",
        target,
        "overlay",
        kernel.MS_NOSUID | kernel.MS_NODEV,
        f"lowerdir={lower},upperdir={place}/changes,workdir={place}/work,{kind}",
    )
    if plan.user is not None:
        for folder, folders, files in os.walk(target):
            for name in (".", *folders, *files):
                os.lchown(os.path.join(folder, name), plan.user, plan.user)


def _show_again(folder: str, descriptor: int) -> None:
    """Show what a private folder has just covered: the interpreter itself may be installed below /tmp."""
    Path(folder).mkdir(parents=True)
    kernel.mount(f"/proc/self/fd/{descriptor}", folder, flags=kernel.MS_BIND | kernel.MS_REC)
    os.close(descriptor)


def _enter_user_namespace() -> None:
    """Become an ordinary user: there is only one user id to give, so it is the launcher's under another name."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    maps = {"uid_map": f"{INSIDE_UID} {user} 1", "setgroups": "deny", "gid_map": f"{INSIDE_UID} {group} 1"}
    for name, text in maps.items():
        Path("/proc/self", name).write_text(text)
