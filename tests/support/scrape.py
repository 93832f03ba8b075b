"""The metrics as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import Api


async def read(api: Api) -> dict[str, float]:
    """Each sample by its name and labels."""
    answer = await api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {f"{s.name}{sorted(s.labels.items())}": s.value for family in families for s in family.samples}


def value(samples: dict[str, float], name: str, **labels: str) -> float:
    return samples.get(f"{name}{sorted(labels.items())}", 0.0)
