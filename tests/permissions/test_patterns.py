"""Patterns and the decision, held against a small reference of its own. Pure."""

import os
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth_service.permissions.decision import Decision, Grant, Reason, Subject, decide
from auth_service.permissions.patterns import covers, is_code, is_pattern

CASES = int(os.environ.get("HYPOTHESIS_CASES", "400"))
NOW = datetime(2030, 6, 1, tzinfo=UTC)


# --- The reference: segments compared one by one, nothing shared with the code under test. ---


def reference_segment(text: str) -> bool:
    letters, rest = string.ascii_lowercase, string.ascii_lowercase + string.digits + "-"
    return 0 < len(text) <= 63 and text[0] in letters and all(char in rest for char in text)


def reference_code(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 2 and all(reference_segment(part) for part in parts)


def reference_pattern(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 2 and reference_segment(parts[0]) and (parts[1] == "*" or reference_segment(parts[1]))


def reference_gives(pattern: str, code: str) -> bool:
    if pattern == "*":
        return True
    have, want = pattern.split(":"), code.split(":")
    return have[0] == want[0] and (have[1] == "*" or have[1] == want[1])


def reference_decision(code: str, known: bool, subject: Subject) -> tuple[bool, str]:
    if not known:
        return False, "unknown_permission"
    if subject.active is None:
        return False, "no_grant"
    if not subject.active:
        return False, "user_inactive"
    ways = [g for grants in subject.grants.values() for g in grants if reference_gives(g.pattern, code)]
    if any(reference_counts(g, NOW) for g in ways):
        return True, "granted"
    if any(g.valid_from > NOW for g in ways):
        return False, "grant_not_started"
    return False, "grant_expired" if ways else "no_grant"


def reference_counts(grant: Grant, moment: datetime) -> bool:
    return grant.valid_from <= moment and (grant.valid_until is None or grant.valid_until > moment)


# --- Inputs that look alike. ---

RESOURCES = ["content", "conten", "contents", "content-admin", "read"]
ACTIONS = ["read", "rea", "reads", "read-all", "content"]
ALL_CODES = [f"{resource}:{action}" for resource in RESOURCES for action in ACTIONS]
ALL_PATTERNS = [*ALL_CODES, *(f"{resource}:*" for resource in RESOURCES), "*"]
segments = st.sampled_from(RESOURCES + ACTIONS)
codes = st.sampled_from(ALL_CODES)
patterns = st.sampled_from(ALL_PATTERNS)
junk_segments = st.one_of(segments, st.text(alphabet="acdrt-*.+?[]()^$|\\ :АаA9_", max_size=8))
junk = st.one_of(st.text(max_size=12), st.builds("{}:{}".format, junk_segments, junk_segments))
days = st.integers(-5, 5)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    start = NOW + timedelta(days=draw(days))
    end = draw(st.one_of(st.none(), st.integers(1, 6)))
    return Grant(draw(patterns), "role", "via", start, None if end is None else start + timedelta(days=end))


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    subject = Subject(active=draw(st.sampled_from([True, True, True, True, False, None])))
    for grant in draw(st.lists(grants(), max_size=6)):
        subject.grants.setdefault(grant.pattern, []).append(grant)
    return subject


@pytest.mark.parametrize("held", ALL_PATTERNS)
def test_rbac_5_each_pattern_against_each_look_alike(held: str) -> None:
    gives = {code for code in ALL_CODES if covers({held}, code)}
    assert gives == {code for code in ALL_CODES if reference_gives(held, code)}
    subject = Subject(active=True, grants={held: [Grant(held, "role", "via", NOW, None)]})
    assert gives == {code for code in ALL_CODES if decide(code, True, subject, NOW).allowed}


@given(st.lists(patterns, max_size=5), st.one_of(codes, patterns))
@settings(max_examples=CASES, deadline=None)
def test_rbac_5_covers_like_the_reference(held: list[str], wanted: str) -> None:
    expected = "*" in held if wanted == "*" else any(reference_gives(pattern, wanted) for pattern in held)
    assert covers(frozenset(held), wanted) is expected


@given(st.lists(patterns, max_size=5), junk)
@settings(max_examples=CASES, deadline=None)
def test_rbac_5_what_is_held_gives_nothing_to_look_alikes(held: list[str], wanted: str) -> None:
    if reference_pattern(wanted) or wanted in held or "*" in held:
        return
    # Only the whole first segment may count: `content:*` for `content:` and whatever follows it.
    assert covers(frozenset(held), wanted) is any(p == f"{wanted.split(':', maxsplit=1)[0]}:*" for p in held)


@given(st.one_of(junk, patterns, st.builds("{}:{}".format, segments, st.text(max_size=3))))
@settings(max_examples=CASES, deadline=None)
def test_rbac_5_codes_and_patterns_have_one_form(text: str) -> None:
    assert is_code(text) is reference_code(text)
    assert is_pattern(text) is reference_pattern(text)


@given(codes, st.booleans(), subjects())
@settings(max_examples=CASES, deadline=None)
def test_rbac_5_decides_like_the_reference(code: str, known: bool, subject: Subject) -> None:
    decision = decide(code, known, subject, NOW)
    assert (decision.allowed, str(decision.reason)) == reference_decision(code, known, subject)


@given(codes, subjects(), st.integers(0, 300))
@settings(max_examples=CASES, deadline=None)
def test_the_answer_is_the_same_at_every_moment_before_valid_until(code: str, subject: Subject, hours: int) -> None:
    now = decide(code, True, subject, NOW)
    later = NOW + timedelta(hours=hours)
    then = decide(code, True, subject, later)
    if now.valid_until is None:
        # What is over never begins again; only `expired` follows `granted`, and then there is a time for it.
        assert then.allowed is now.allowed
    elif later < now.valid_until:
        assert (then.allowed, then.valid_until) == (now.allowed, now.valid_until)
    elif later == now.valid_until:
        assert then.allowed is not now.allowed


# --- Rows to read. ---


def way(pattern: str, start: float, end: float | None) -> Grant:
    until = None if end is None else NOW + timedelta(days=end)
    return Grant(pattern, "role", "via", NOW + timedelta(days=start), until)


def subject_of(*ways: Grant, active: bool | None = True) -> Subject:
    subject = Subject(active=active)
    for item in ways:
        subject.grants.setdefault(item.pattern, []).append(item)
    return subject


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


DECISIONS = [
    ("held for ever", subject_of(way("films:read", -1, None)), Reason.GRANTED, None),
    ("held until tomorrow", subject_of(way("films:read", -1, 1)), Reason.GRANTED, day(1)),
    ("begins at this very moment", subject_of(way("films:read", 0, 1)), Reason.GRANTED, day(1)),
    ("ends at this very moment", subject_of(way("films:read", -1, 0)), Reason.GRANT_EXPIRED, None),
    ("begins tomorrow", subject_of(way("films:read", 1, 2)), Reason.GRANT_NOT_STARTED, day(1)),
    ("by a wildcard", subject_of(way("films:*", -1, 1)), Reason.GRANTED, day(1)),
    ("by everything", subject_of(way("*", -1, None)), Reason.GRANTED, None),
    ("another resource", subject_of(way("film:*", -1, None), way("films-x:*", -1, None)), Reason.NO_GRANT, None),
    ("another action", subject_of(way("films:reads", -1, None), way("films:rea", -1, None)), Reason.NO_GRANT, None),
    ("one takes over", subject_of(way("films:*", -1, 1), way("films:read", 1, 2)), Reason.GRANTED, day(2)),
    ("a gap", subject_of(way("films:*", -1, 1), way("films:read", 1.5, 2)), Reason.GRANTED, day(1)),
    ("an old one beside", subject_of(way("films:*", -3, -2), way("films:read", -1, 2)), Reason.GRANTED, day(2)),
    ("old and coming", subject_of(way("films:*", -3, -2), way("films:read", 3, 4)), Reason.GRANT_NOT_STARTED, day(3)),
    ("the nearer of two", subject_of(way("films:*", 5, 6), way("films:read", 3, 4)), Reason.GRANT_NOT_STARTED, day(3)),
    ("disabled", subject_of(way("*", -1, None), active=False), Reason.USER_INACTIVE, None),
    ("unknown user", subject_of(active=None), Reason.NO_GRANT, None),
    ("nothing", subject_of(), Reason.NO_GRANT, None),
]


@pytest.mark.parametrize(("subject", "reason", "until"), [d[1:] for d in DECISIONS], ids=[d[0] for d in DECISIONS])
def test_decision(subject: Subject, reason: Reason, until: datetime | None) -> None:
    decision = decide("films:read", True, subject, NOW)
    assert (decision.allowed, decision.reason, decision.valid_until) == (reason is Reason.GRANTED, reason, until)


@pytest.mark.parametrize("subject", [subject_of(way("*", -1, None)), subject_of(active=False), subject_of(active=None)])
def test_rbac_5_unknown_permission_is_denied_whoever_asks(subject: Subject) -> None:
    assert decide("films:read", False, subject, NOW) == Decision(False, Reason.UNKNOWN_PERMISSION)
