"""The benchmark: the service beside other ways to the same answer, all in one run.

    make bench                                  the quick set: about ten minutes
    make bench ARGS="--only check,refresh"      some parts of it
    make bench ARGS=--full                      scaling and memory too: about forty minutes
    make bench ARGS=--redraw                    the page and the plots again, from bench/results.json

Starts everything itself, on this machine alone, and stops it. docs/benchmarks.md says what is compared.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

from bench import plots, record, results
from bench.agreement import Disagreement
from bench.cores import on_core, two_cores
from bench.driver import Options, Part
from bench.load import NO_WRK
from bench.parts import check, in_process, local_check, logins, me, memory, refresh, scaling

QUICK: dict[str, Callable[[Options], Part]] = {
    "check": check.run,
    "refresh": refresh.run,
    "me": me.run,
    "local_check": local_check.run,
    "in_process": in_process.run,
    "logins": logins.run,
}
FULL = {**QUICK, "scaling": scaling.run, "memory": memory.run}
UNPINNED = {"logins"}
# wrk sends only what is the same each time.
OWN_GENERATOR = {"refresh", "logins"}
NO_GENERATOR = {"local_check", "in_process", "memory"}
LEAST_PAIRS, MOST_PAIRS, MOST_SECONDS = 5, 50, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"parts, with commas between them: {', '.join(FULL)}")
    parser.add_argument("--full", action="store_true", help="scaling and memory too")
    parser.add_argument("--pairs", type=int, default=7, help=f"at least {LEAST_PAIRS}, unless only trying")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each trial")
    parser.add_argument("--redraw", action="store_true", help="measure nothing")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(FULL if given.full else QUICK)
    if unknown := set(names) - set(FULL):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    parts = record.read()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    if not given.redraw:
        pairs = min(max(given.pairs, 1), MOST_PAIRS)
        seconds = min(max(given.seconds, 0.5), MOST_SECONDS)
        measure(names, parts, pairs, seconds)
    if not parts:
        sys.exit("nothing was measured yet")
    results.write(parts)
    plots.write(parts)
    print(f"written: {results.FILE.relative_to(os.getcwd())}, {', '.join(f'docs/{name}' for name in plots.PLOTS)}")


def measure(names: list[str], parts: dict[str, record.Recorded], pairs: int, seconds: float) -> None:
    """Each part is kept as soon as it is there."""
    cores = two_cores()
    if cores is None:
        print("nothing can be pinned here: the sides share their core with the load, and ratios say less")
    if shutil.which("wrk") is None:
        print(NO_WRK)
    if pairs < LEAST_PAIRS:
        print(f"fewer than {LEAST_PAIRS} pairs: for trying, not for the results")
    server, load = cores or (None, None)
    for name in names:
        print(f"{name} …", flush=True)
        started = time.monotonic()
        pinned = name not in UNPINNED
        options = Options(pairs, seconds, server if pinned else None)
        try:
            # Whatever is started without another word shares the load's core: stores, generators, and this.
            with on_core(load if pinned else None):
                part = FULL[name](options)
        except Disagreement as error:
            sys.exit(f"{name}: the sides do not say the same, so nothing is compared: {error}")
        parts[name] = record.recorded(part, options, _generator(name))
        record.write(parts)
        for reason in part.left_out:
            print(f"  left out: {reason}")
        print(f"  {time.monotonic() - started:.0f} s", flush=True)


def _generator(name: str) -> str:
    if name in NO_GENERATOR:
        return "none"
    if name in OWN_GENERATOR or shutil.which("wrk") is None:
        return "our own"
    return "wrk; our own where each request differs" if name in {"check", "scaling"} else "wrk"


if __name__ == "__main__":
    main()
