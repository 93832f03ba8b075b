"""The rules of what a client keeps, in all the ways in which it can go, and mistakes that this would find."""

from dataclasses import replace

import pytest

from tests.support.memory_model import Bounds, Model, Rules

SHIPPED, SMALL = Rules(), Bounds(changes=1, asks=2, cuts=0)


@pytest.mark.parametrize("bounds", [SMALL, Bounds(changes=1, asks=1, cuts=1)], ids=["two who ask", "cut once"])
def test_no_answer_is_older_than_the_bound(bounds: Bounds) -> None:
    assert Model(bounds).states() > 3000


@pytest.mark.long
@pytest.mark.parametrize("bounds", [Bounds(1, 2, 1), Bounds(2, 1, 0)], ids=["two who ask, cut once", "two changes"])
def test_nor_in_longer_histories(bounds: Bounds) -> None:
    states = Model(bounds).states()
    print(f"{states:,} states")
    assert states > 5_000


MISTAKES = {
    "place made after the ask": (replace(SHIPPED, place_before_ask=False), SMALL),
    "a worker's memory answers": (replace(SHIPPED, ask_stores=False), SMALL),
    "kept without its place": (replace(SHIPPED, keep_in_place=False), SMALL),
    "waits for what was asked long ago": (replace(SHIPPED, join_only_while_good=False), SMALL),
    "keeps what it may have missed": (replace(SHIPPED, forget_where_not_resumed=False), Bounds(1, 1, 1)),
}


@pytest.mark.parametrize(("rules", "bounds"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_rules_is_found(rules: Rules, bounds: Bounds) -> None:
    with pytest.raises(AssertionError, match="version"):
        Model(bounds, rules).states()
