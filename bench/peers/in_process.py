"""Decisions without HTTP, in one process: our pure decision, pycasbin and cedarpy, each with the same roles.

    python -m bench.peers.in_process rules.json --rounds 7

Runs in the peers' environment, where `auth_service.permissions.decision` works too: it imports nothing but our own
patterns. Each side has parsed its rules before it is timed, and asks all questions in turn. Prints JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cedarpy

from auth_service.permissions.decision import Grant, Subject, decide
from bench.peers.casbin_rules import enforcer_of
from bench.rules import Rules, read_rules

SLICE_SECONDS = 0.3
# (user, code) to allowed.
Decides = Callable[[str, str], bool]


def ours(rules: Rules) -> Decides:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    subjects = {}
    for user, role in rules.users.items():
        subject = Subject(active=True)
        for via in rules.ancestors(role):
            for pattern in rules.patterns[via]:
                subject.grants.setdefault(pattern, []).append(Grant(pattern, role, via, start, None))
        subjects[user] = subject
    now = datetime.now(UTC)
    return lambda user, code: decide(code, True, subjects[user], now).allowed


def casbin(rules: Rules) -> Decides:
    enforcer = enforcer_of(rules)
    parts = {code: code.split(":") for code in rules.codes}
    return lambda user, code: bool(enforcer.enforce(rules.users[user], *parts[code]))


def cedar(rules: Rules) -> Decides:
    """Roles and actions in hierarchies of entities, policies and entities parsed once."""
    policies = []
    for role, patterns in rules.patterns.items():
        for pattern in patterns:
            policies.append(f'permit(principal in Role::"{role}", action in Action::"{pattern}", resource);')
    entities = [_entity("Cinema", "any", [])]
    for role, parents in rules.parents.items():
        entities.append(_entity("Role", role, [("Role", parent) for parent in parents]))
    for user, role in rules.users.items():
        entities.append(_entity("User", user, [("Role", role)]))
    codes = set(rules.codes) | {p for own in rules.patterns.values() for p in own if not p.endswith("*")}
    resources = {code.partition(":")[0] for code in codes}
    for code in codes:
        entities.append(_entity("Action", code, [("Action", f"{code.partition(':')[0]}:*")]))
    entities += [_entity("Action", f"{resource}:*", [("Action", "*")]) for resource in resources]
    entities.append(_entity("Action", "*", []))
    parsed = cedarpy.PolicySet.from_str("\n".join(policies))
    known = cedarpy.Entities.from_json_str(json.dumps(entities))

    def decide_by_cedar(user: str, code: str) -> bool:
        request = {
            "principal": {"type": "User", "id": user},
            "action": {"type": "Action", "id": code},
            "resource": {"type": "Cinema", "id": "any"},
            "context": {},
        }
        return bool(cedarpy.is_authorized(request, parsed, known).allowed)

    return decide_by_cedar


def _entity(kind: str, name: str, parents: list[tuple[str, str]]) -> dict[str, object]:
    return {
        "uid": {"type": kind, "id": name},
        "attrs": {},
        "parents": [{"type": its, "id": parent} for its, parent in parents],
    }


def timed(decides: Decides, questions: list[tuple[str, str]]) -> tuple[int, float]:
    """Decisions made, and seconds of CPU they took."""
    count, before = 0, time.process_time()
    while (spent := time.process_time() - before) < SLICE_SECONDS:
        for user, code in questions:
            decides(user, code)
        count += len(questions)
    return count, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    rules = read_rules(given.rules)
    sides = {"decide": ours(rules), "casbin": casbin(rules), "cedar": cedar(rules)}
    questions = [(user, code) for user in rules.users for code in rules.codes]
    answers = {name: [decides(*question) for question in questions] for name, decides in sides.items()}
    assert answers["decide"] == answers["casbin"] == answers["cedar"], "the sides disagree"
    told: dict[str, list[tuple[int, float]]] = {name: [] for name in sides}
    for number in range(given.rounds):
        for name in sides if number % 2 else reversed(sides):
            told[name].append(timed(sides[name], questions))
    allowed = answers["decide"]
    print(json.dumps({"questions": len(questions), "allowed": sum(allowed), "answers": allowed, "sides": told}))


if __name__ == "__main__":
    main()
