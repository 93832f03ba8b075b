"""PostgreSQL refuses to run as root, and in many containers nobody else is there: ways out."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from auth_service.embedded.server import EmbeddedError

NOBODY = 65534


@dataclass(frozen=True)
class Launcher:
    """How to run PostgreSQL, which refuses to run as root, and which user owns its data then."""

    prefix: tuple[str, ...]
    owner: int | None

    def own(self, data_dir: Path) -> None:
        if self.owner is None or data_dir.stat().st_uid == self.owner:
            return
        for path in data_dir.rglob("*"):
            os.chown(path, self.owner, -1, follow_symlinks=False)
        os.chown(data_dir, self.owner, -1)  # last: it says that the rest is done


def not_as_root(binaries: Path, folder: Path) -> Launcher:
    if os.geteuid() != 0:
        return Launcher((), None)
    # In the namespace root is called 1000, so files stay root's and a project under /root works.
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    # Containers often forbid namespaces. The one capability lets nobody pass a closed /root.
    nobody = (
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--securebits=+no_setuid_fixup",  # without it access(2), which PostgreSQL asks, ignores the capability
    )
    # pg_config looks for its own file just as the server does.
    probe = ("sh", "-c", 'test -w "$1" && exec "$0"', str(binaries / "pg_config"), str(folder))
    for launcher in (Launcher(namespace, 0), Launcher(nobody, NOBODY)):
        with contextlib.suppress(OSError):
            tried = subprocess.run([*launcher.prefix, *probe], capture_output=True, check=False)
            if tried.returncode == 0:
                return launcher
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv works here: "
        "start as another user, or set DATABASE_URL to a server of your own"
    )
