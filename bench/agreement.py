"""Before anything is timed: every side must allow and deny the same."""

from collections.abc import Callable, Mapping

from bench.rules import Rules

Allows = Callable[[str, str], bool]  # of a user's id and a code


class Disagreement(Exception):
    """Names the side and the questions."""


def agree(rules: Rules, ours: Allows, others: Mapping[str, Allows]) -> str:
    """How many questions were asked; raises Disagreement."""
    questions = [(user, code) for user in sorted(rules.users) for code in rules.codes]
    expected = [ours(*question) for question in questions]
    if len(set(expected)) < 2:
        raise Disagreement("all answers are alike, which compares nothing")
    for name, allows in others.items():
        wrong = [
            f"{rules.users[u]}/{code}"
            for (u, code), right in zip(questions, expected, strict=True)
            if allows(u, code) != right
        ]
        if wrong:
            raise Disagreement(f"{name} answers differently: {', '.join(wrong)}")
    return f"{len(questions)} questions, {sum(expected)} of them allowed, answered alike by {len(others) + 1} sides"
