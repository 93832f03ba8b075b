"""Processes that a test looks at."""

import psutil


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead: in a container nobody may collect the children of a killed parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
