"""Cerbos, a policy decision point of its own, asked over HTTP; its policy is made of the same roles.

It is told who asks and which roles they have, and verifies no token: whoever calls it has done that before.
"""

from pathlib import Path

from bench.load import Call, post
from bench.rules import Rules

PATH = "/api/check/resources"


def configure(folder: Path, port: int, grpc_port: int, rules: Rules) -> Path:
    """The configuration file, beside a folder with the one policy: nothing is logged, audited or reported."""
    policies = folder / "policies"
    policies.mkdir(parents=True)
    (policies / "cinema.yaml").write_text(policy(rules), encoding="utf-8")
    config = folder / "cerbos.yaml"
    config.write_text(
        f"""server:
  httpListenAddr: "127.0.0.1:{port}"
  grpcListenAddr: "127.0.0.1:{grpc_port}"
storage:
  driver: disk
  disk:
    directory: "{policies}"
    watchForChanges: false
telemetry:
  disabled: true
audit:
  enabled: false
""",
        encoding="utf-8",
    )
    return config


def policy(rules: Rules) -> str:
    """One rule for each pattern: its `films:*` and `*` mean what ours mean. Roles are told with all they inherit."""
    lines = ["apiVersion: api.cerbos.dev/v1", "resourcePolicy:", "  version: default", "  resource: cinema", "  rules:"]
    for pattern in sorted({pattern for own in rules.patterns.values() for pattern in own}):
        roles = ", ".join(f'"{role}"' for role in rules.holders(pattern))
        lines += [f'    - actions: ["{pattern}"]', "      effect: EFFECT_ALLOW", f"      roles: [{roles}]"]
    return "\n".join(lines) + "\n"


def question(rules: Rules, user: str, code: str) -> Call:
    return post(
        PATH,
        {
            "principal": {"id": user, "roles": [rules.users[user]]},
            "resources": [{"actions": [code], "resource": {"kind": "cinema", "id": "any"}}],
        },
    )


def allowed(answer: dict[str, list[dict[str, dict[str, str]]]], code: str) -> bool:
    return answer["results"][0]["actions"][code] == "EFFECT_ALLOW"
