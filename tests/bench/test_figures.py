"""What the benchmark makes of its trials: ratios, tables, drawings. Nothing is measured here."""

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from bench import driver, plots, record, results
from bench.agreement import Disagreement, agree
from bench.figures import FIGURES, LARGE, SIDES, Figure, Target
from bench.load import Call, get, post, wrk_script
from bench.peers import cerbos
from bench.peers.install import PINS, SHARED, npm_pin, pinned
from bench.rules import Rules
from bench.trial import Trial, paired

RULES = Rules(
    parents={"guest": [], "viewer": ["guest"], "manager": ["viewer"], "superuser": []},
    patterns={"guest": ["films:read"], "viewer": ["tickets:buy"], "manager": ["films:*"], "superuser": ["*"]},
    users={"1": "viewer", "2": "manager"},
    codes=["films:read", "films:delete"],
)


def trials(*costs: float, each: int = 1) -> list[Trial]:
    """With these µs of CPU for each decision, on a core that does nothing else."""
    return [Trial(1000, cost * each / 1000, cost * each / 1000, p50=cost, p99=cost, each=each) for cost in costs]


def part_of(**sides: list[Trial]) -> record.Recorded:
    part = driver.Part(
        dict(sides), {"worker, MiB": [150.0, 151.0, 149.0]}, agreed="28 questions", left_out=["Cerbos: x"]
    )
    how = {"pairs": "3", "seconds": "2", "pinned": "yes", "generator": "wrk"}
    machine = {"processor": "one", "cores": "2", "memory": "8 GiB", "system": "Linux"}
    return record.Recorded(part, "2026-11-29 12:00 UTC", "abc1234", machine, {"Python": "3.11"}, how)


def everything() -> dict[str, record.Recorded]:
    """Every part with every side, each a bit dearer than the one before."""
    parts = {
        name: part_of(**{side: trials(40.0 + 10 * number, 50.0, 60.0) for number, side in enumerate(sides)})
        for name, sides in SIDES.items()
    }
    scaling = {f"hit, {size}": trials(50.0, 60.0) for size in LARGE}
    scaling |= {f"hit, small beside {size}": trials(50.0, 50.0) for size in LARGE}
    return {**parts, "scaling": part_of(**scaling), "memory": part_of()}


def test_a_trial_knows_its_rate_and_what_a_decision_costs() -> None:
    trial = Trial(requests=1000, seconds=2.0, cpu=1.0, each=10)
    assert (trial.rate, trial.cost, trial.busy) == (500.0, 100.0, 0.5)


def test_ratios_are_made_within_pairs_before_the_median_is_taken() -> None:
    found = paired("CPU", trials(10, 40, 90), trials(10, 20, 30))
    assert (found.median, found.least, found.most) == (2.0, 1.0, 3.0)
    assert paired("rate", trials(10), trials(20)).median == pytest.approx(2.0)
    assert paired("per CPU-second", trials(10), trials(20)).median == pytest.approx(2.0)
    assert paired("p99", trials(30), trials(10)).median == pytest.approx(3.0)


def test_trials_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired("rate", trials(10), trials(10, 20))


def test_a_target_is_met_at_its_value_and_its_share_is_better_above_one() -> None:
    least, most = Target("≥", 0.7), Target("≤", 3.0)
    assert least.met(0.7)
    assert not least.met(0.69)
    assert most.met(3.0)
    assert not most.met(3.1)
    assert least.share(1.4) == pytest.approx(2.0)
    assert most.share(6.0) == pytest.approx(0.5)


def test_a_figure_without_one_of_its_sides_is_left_out() -> None:
    figure = Figure("check", "x", "own", "Cerbos", "per CPU-second")
    assert figure.of({"own": trials(10)}) is None
    alone = Figure("check", "x", "batch", None, "cost").of({"batch": trials(3, 2, 4, each=100)})
    assert alone is not None
    assert alone.median == pytest.approx(3.0)


def test_numbers_are_shown_with_the_digits_that_count() -> None:
    assert [results.shown(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.0617)] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
        "0.062",
    ]


def test_every_figure_compares_sides_that_its_part_has() -> None:
    for figure in FIGURES:
        assert {figure.ours, figure.theirs} - {None} <= SIDES[figure.part].keys(), figure.title


def test_turns_are_taken_forwards_and_backwards_and_warming_up_does_not_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver.gc, "collect", lambda: 0)  # here it would look through all that other tests left
    asked: list[str] = []

    def side(name: str) -> Trial:
        asked.append(name)
        return Trial(len(asked), 1.0, 1.0)

    found = driver.take_turns({"a": lambda: side("a"), "b": lambda: side("b")}, pairs=2)
    assert "".join(asked) == "abbaab"
    assert [trial.requests for trial in found["a"]] == [4, 5]
    assert "1/2" in capsys.readouterr().out


def test_the_page_shows_every_target_and_says_honestly_what_is_not_met() -> None:
    text = results.page(everything())
    for figure in FIGURES:
        assert f"| {figure.title} |" in text
    assert "**not met**" in text
    assert "Cerbos: x" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert "| hit |" in text
    assert "150" in text


def test_the_page_is_made_of_whatever_parts_there_are() -> None:
    text = results.page({"me": everything()["me"]})
    assert "One's own account" in text
    assert "The permission check" not in text


def test_the_drawings_are_well_formed_and_stay_inside() -> None:
    parts = everything()
    for draw in plots.PLOTS.values():
        drawn = draw(parts)
        assert drawn is not None
        root = ET.fromstring(drawn)  # noqa: S314  our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in drawn
        for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
            assert float(bar.get("width", "")) > 0
            assert float(bar.get("x", "")) + float(bar.get("width", "")) <= plots.WIDTH
        assert draw({}) is None


def test_what_is_drawn_is_escaped() -> None:
    row = plots.Bar("<&>", plots.Spread(1, 1, 1), True, "a < b")
    assert ET.fromstring(plots.bars("<x>", "&", [row])) is not None  # noqa: S314  our own


def test_results_are_read_back_as_they_were_written(tmp_path: record.Path) -> None:
    parts = everything()
    record.write(parts, tmp_path / "results.json")
    again = record.read(tmp_path / "results.json")
    assert {name: dataclasses.asdict(one) for name, one in again.items()} == {
        name: dataclasses.asdict(one) for name, one in parts.items()
    }
    assert record.read(tmp_path / "none.json") == {}


def test_sides_that_say_something_else_are_not_compared() -> None:
    def ours(user: str, code: str) -> bool:
        return code == "films:read" or user == "2"

    assert "4 questions, 3 of them allowed" in agree(RULES, ours, {"same": ours})
    with pytest.raises(Disagreement, match="other answers differently: viewer/films:delete"):
        agree(RULES, ours, {"other": lambda _user, _code: True})
    with pytest.raises(Disagreement, match="alike"):
        agree(RULES, lambda _user, _code: True, {})


def test_the_policy_names_all_who_have_a_pattern_by_inheritance_too() -> None:
    assert RULES.holders("films:read") == ["guest", "manager", "viewer"]
    text = cerbos.policy(RULES)
    assert '- actions: ["films:*"]\n      effect: EFFECT_ALLOW\n      roles: ["manager"]' in text


def test_a_call_is_the_same_request_for_both_generators() -> None:
    call = post("/x", {"a": 1}, "token")
    assert call.raw("h:1") == (
        b"POST /x HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nAuthorization: Bearer token\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}'
    )
    script = wrk_script(call)
    assert "wrk.method = [==[POST]==]" in script
    assert '[==[{"a":1}]==]' in script
    assert "wrk.body = nil" in wrk_script(get("/x", "token"))
    assert Call("GET", "/").raw("h") == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_peers_are_pinned_and_what_they_share_with_us_is_not() -> None:
    pins = PINS.read_text(encoding="utf-8")
    assert npm_pin()[1] in pins
    assert [name for name in SHARED if f"{name}==" in pins] == []
    assert [name for name in record.PEERS if pinned(name) == ""] == []


def test_the_page_and_the_drawings_are_those_of_the_recorded_results() -> None:
    parts = record.read()
    assert results.FILE.read_text(encoding="utf-8") == results.page(parts)
    for name, draw in plots.PLOTS.items():
        assert (plots.FOLDER / name).read_text(encoding="utf-8") == draw(parts), "make bench ARGS=--redraw"
