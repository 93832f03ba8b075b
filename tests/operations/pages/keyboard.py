"""A page by the tab key alone: that it comes everywhere, in an order that fits, and that one sees where it is."""

import asyncio
import itertools
from typing import Any

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.chromium_site import Site

# What somebody may want to reach, in the order of the document, and where each of it is seen: what is scrolled away in
# a box counts as being at its edge.
REACHABLE = """
const all = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]:not([tabindex="-1"])';
const found = [...document.querySelectorAll(all)].filter(one => !one.disabled
  && one.checkVisibility({visibilityProperty: true}) && !one.closest('details:not([open]) > :not(summary)'));
window.walked = found;
const seen = one => {
  const shape = one.ownerSVGElement ? one.querySelector('rect') : one;
  const {left, top, right, bottom} = shape.getClientRects()[0] ?? shape.getBoundingClientRect();
  const box = {left: left + scrollX, top: top + scrollY, right: right + scrollX, bottom: bottom + scrollY};
  for (let around = one.parentElement; around && around !== document.body; around = around.parentElement) {
    if (getComputedStyle(around).overflow === 'visible') continue;
    const edge = around.getBoundingClientRect();
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    box.left = within(box.left, edge.left + scrollX, edge.right + scrollX);
    box.right = within(box.right, edge.left + scrollX, edge.right + scrollX);
    box.top = within(box.top, edge.top + scrollY, edge.bottom + scrollY);
    box.bottom = within(box.bottom, edge.top + scrollY, edge.bottom + scrollY);
  }
  return box;
};
return found.map(one => ({...seen(one), html: one.outerHTML.slice(0, 120), skip: one.matches('.skip')}));
"""
# Asked with the key that leaves it: by then it has been scrolled to.
LISTEN = """
window.met = [];
addEventListener('keydown', () => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return;
  const style = getComputedStyle(one);
  const shape = one.ownerSVGElement ? one.querySelector('rect') : one;  // words may be longer than their box
  const {left, top, width, height} = shape.getClientRects()[0] ?? shape.getBoundingClientRect();
  const [x, y] = [left + width / 2, top + Math.min(height, innerHeight) / 2];
  const there = document.elementFromPoint(x, y);
  window.met.push({
    index: window.walked.indexOf(one),
    html: one.outerHTML.slice(0, 120),
    marked: one.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
    uncovered: !!there && (one.contains(there) || there.contains(one) || there.closest('label')?.control === one),
  });
}, true);
"""
AT_ONCE = 40


async def by_keyboard(site: Site) -> list[str]:
    """What is wrong with it."""
    reachable = await site.run(REACHABLE)
    await site.run(LISTEN)
    met: list[dict[str, Any]] = []
    for _ in range(2 + len(reachable) // 4):
        keys = ActionChains(site._driver, duration=0).send_keys(*[Keys.TAB] * AT_ONCE)
        await asyncio.to_thread(keys.perform)
        met, is_round = _once(await site.run("return window.met"))
        if is_round:
            break
    wrong = [f"the focus cannot be seen on {one['html']}" for one in met if not one["marked"]]
    wrong += [f"the focus is behind something on {one['html']}" for one in met if not one["uncovered"]]
    order = [one["index"] for one in met if one["index"] >= 0]
    missed = [reachable[index]["html"] for index in range(len(reachable)) if index not in order]
    if missed:
        return [*wrong, f"no key leads to {missed}"]
    start = order.index(min(order)) if order else 0
    order = order[start:] + order[:start]
    if order != sorted(order):
        wrong.append(f"the tab key goes in the order {order}")
    return wrong + _jumps([one for one in reachable if not one["skip"]])


def _once(met: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The stops, each once, and whether the focus came to where it began; a field for dates is several stops."""
    stops = [one for number, one in enumerate(met) if not number or one["index"] != met[number - 1]["index"]]
    first = next((number for number, one in enumerate(stops) if one["index"] >= 0), 0)  # after what has no key
    again = [number for number, one in enumerate(stops) if number > first and one["index"] == stops[first]["index"]]
    return (stops[first : again[0]], True) if again else (stops[first:], False)


def _jumps(boxes: list[dict[str, Any]]) -> list[str]:
    """Steps that lead up without leading to the right, or to the left within a line."""
    wrong = []
    in_sight = [one for one in boxes if one["bottom"] > one["top"] and one["right"] > one["left"]]
    for here, there in itertools.pairwise(in_sight):
        up = there["bottom"] <= here["top"] + 1 and there["left"] < here["right"] - 1
        one_line = min(here["bottom"], there["bottom"]) - max(here["top"], there["top"]) > 8
        if up or (one_line and there["left"] < here["left"] - 1 and there["right"] <= here["left"] + 1):
            wrong.append(f"after {here['html']} the tab key jumps to {there['html']}")
    return wrong
