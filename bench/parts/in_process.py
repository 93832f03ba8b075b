"""The decision alone, without HTTP: ours, pycasbin's and cedarpy's (bench/peers/in_process.py)."""

import json
import subprocess

from auth_service.testing.processes import own_stores
from bench.cores import on_core
from bench.driver import Options, Part
from bench.peers.install import LeftOut, python_with_peers
from bench.rules import rules_of
from bench.stand import ROOT
from bench.trial import Trial

MOST_SECONDS = 300


def run(options: Options) -> Part:
    try:
        python = python_with_peers()
    except LeftOut as reason:
        return Part(left_out=[str(reason)])
    with own_stores() as stores:
        rules = rules_of(stores.database_url).write(stores.folder / "rules.json")
        command = [str(python), "-m", "bench.peers.in_process", str(rules), "--rounds", str(options.pairs)]
        with on_core(options.core):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=MOST_SECONDS)
    told = json.loads(done.stdout)
    trials = {name: [Trial(count, seconds, seconds) for count, seconds in its] for name, its in told["sides"].items()}
    agreed = f"{told['questions']} questions, {told['allowed']} of them allowed, answered alike by 3 sides"
    return Part(trials, agreed=agreed)
