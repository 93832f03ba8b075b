"""What the replicas count themselves: how much came from memory, and how long changes waited for the workers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.service_process import ServiceProcess

_SAMPLE = re.compile(r'^(\w+)(?:\{(?:.*?le="([^"]+)".*?|[^}]*)\})? (\S+)$', re.MULTILINE)
WAIT = "auth_change_wait_seconds"


@dataclass(frozen=True)
class Inside:
    """`within`: changes by the bound of the time that they waited, each bound with those of the smaller ones."""

    hits: int
    within: Counter[str]
    seconds: float

    @property
    def waits(self) -> int:
        return self.within["+Inf"]

    def __str__(self) -> str:
        mean = self.seconds / max(1, self.waits) * 1000
        bounds = ", ".join(f"{self.within[bound]:,} within {bound} s" for bound in ("0.01", "0.1", "0.5", "1.0", "1.5"))
        return (
            f"{self.hits:,} requests answered from memory; {self.waits:,} changes waited for the workers,"
            f" {mean:.0f} ms on average: {bounds}"
        )


async def look_inside(services: Sequence[ServiceProcess]) -> Inside:
    hits, seconds, within = 0, 0.0, Counter[str]()
    for service in services:
        text = (await service.http.get("/metrics")).text
        for name, bound, value in _SAMPLE.findall(text):
            if name == "auth_check_hits_total":
                hits += int(float(value))
            elif name == f"{WAIT}_sum":
                seconds += float(value)
            elif name == f"{WAIT}_bucket":
                within[bound] += int(float(value))
    return Inside(hits, within, seconds)
