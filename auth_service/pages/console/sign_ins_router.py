"""Sign-ins over time and what became of them, as charts and as tables."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Res
from auth_service.core.http.cookies import read_cookie
from auth_service.pages.catalogue import N_
from auth_service.pages.console.charts import chart
from auth_service.pages.console.guard import Admin, Staff
from auth_service.pages.console.screen import screen
from auth_service.pages.form import Form
from auth_service.pages.kept import ZONE_COOKIE
from auth_service.pages.local_words import zone_of
from auth_service.pages.route import page_router
from auth_service.pages.sign_in_words import FAILED, REASONS
from auth_service.pages.words import Words
from auth_service.sessions.sign_in_counts import TooMuchToCount, by_day, by_hour, count_sign_ins, failures

router = page_router()
_TOO_MUCH = Words(N_("There were too many sign-ins to be counted in time. Look at fewer days, or at the metrics."))


@router.get("/console/sign-ins")
async def sign_ins_page(
    request: Request,
    me: Annotated[Admin, Staff("audit:read")],
    resources: Res,
    days: Literal["1", "7", "30"] = "30",
) -> Response:
    now, zone, form = resources.clock(), zone_of(read_cookie(request, ZONE_COOKIE)), Form()
    # Two days more than the charts have: a day and an hour of the reader begin at other moments than one here.
    since = now - timedelta(days=int(days) + 1)
    try:
        counts = await count_sign_ins(resources, since, now + timedelta(seconds=1))
    except TooMuchToCount:
        form.refusal, form.status = _TOO_MUCH, 503
        return screen(request, "console/sign_ins.html", me, form, days=days, charts=None, failures=[])
    hours = by_hour(counts, now, zone)
    shown = [(N_("The last 24 hours, by hour"), "H", chart(hours))]
    if days != "1":
        shown.append((N_("By day"), "d MMM", chart(by_day(counts, now, zone, int(days)))))
    begin = shown[-1][2].bars[0].began
    reasons = failures([count for count in counts if count.began >= begin])
    return screen(
        request,
        "console/sign_ins.html",
        me,
        form,
        days=days,
        charts=shown,
        failures=[(REASONS.get(reason, FAILED), times) for reason, times in reasons],
    )
