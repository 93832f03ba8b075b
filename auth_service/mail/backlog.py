"""How many mails wait, and for how long, for the metrics."""

from auth_service.core.connections import Resources

_STATE = "SELECT count(*) AS waiting, min(created_at) AS oldest FROM mails WHERE sent_at IS NULL"


async def measure_backlog(resources: Resources) -> dict[str, float]:
    """Nothing without SMTP_URL: nobody takes mails then."""
    if resources.settings.smtp_url is None:
        return {}
    ((waiting, oldest),) = await resources.hot.fetch(_STATE)
    lag = 0.0 if oldest is None else max(0.0, (resources.clock() - oldest).total_seconds())
    return {"auth_mails_waiting": waiting, "auth_mails_lag_seconds": lag}
