"""The cinema's roles as casbin has them: role inheritance, and `*` for any resource or action."""

import tempfile
from pathlib import Path

import casbin

from bench.rules import Rules

_MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && (p.obj == r.obj || p.obj == "*") && (p.act == r.act || p.act == "*")
"""


def enforcer_of(rules: Rules) -> casbin.Enforcer:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.conf"
        model.write_text(_MODEL, encoding="utf-8")
        enforcer = casbin.Enforcer(str(model))
    for role, patterns in rules.patterns.items():
        for pattern in patterns:
            resource, _, action = pattern.partition(":")
            enforcer.add_policy(role, resource, action or "*")
    for role, parents in rules.parents.items():
        for parent in parents:
            enforcer.add_grouping_policy(role, parent)
    return enforcer
