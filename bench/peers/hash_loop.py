"""The bare loop of the password hash: nothing but Argon2id, at the service's parameters, in a process for each core.

    python -m bench.peers.hash_loop '<hash>' '<password>' --seconds 3

Each process says `ready`, waits for a line, and says how many hashes it verified, in how many seconds and
how many of CPU.
"""

import argparse
import sys
import time

from argon2 import PasswordHasher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hash")
    parser.add_argument("password")
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    verify = PasswordHasher().verify  # its own parameters do not count: those of the hash do
    verify(given.hash, given.password)
    print("ready", flush=True)
    sys.stdin.readline()
    count, started, before = 0, time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - started) < min(given.seconds, 60):
        verify(given.hash, given.password)
        count += 1
    print(count, spent, time.process_time() - before, flush=True)


if __name__ == "__main__":
    main()
