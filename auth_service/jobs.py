"""What a worker does beside answering requests, and how often."""

from datetime import timedelta
from functools import partial

from auth_service.admin import grant_jobs_repository as grant_jobs
from auth_service.admin.grant_work import LOOK_SECONDS as GRANTS_LOOK_SECONDS
from auth_service.admin.grant_work import run_grant_jobs
from auth_service.audit.service import publish_head
from auth_service.core import coherence
from auth_service.core.connections import Resources
from auth_service.core.store_gauges import POOLS_SECONDS, measure_pools
from auth_service.core.stores.redis_client import keep_connected
from auth_service.core.tokens.denylist import CATCH_UP_SECONDS, LEARN_SECONDS
from auth_service.core.tokens.keys import RELOAD_SECONDS
from auth_service.core.upkeep import Job
from auth_service.events.relay import RESTART_SECONDS, delete_old_events, run_relay
from auth_service.mail.delivery import DELIVERY_SECONDS, delete_old, deliver
from auth_service.mfa.repository import delete_expired
from auth_service.mfa.service import BUDGET_WINDOW
from auth_service.pages import templating
from auth_service.sessions.devices import KEEP_UNSEEN, delete_unseen
from auth_service.sessions.partition_upkeep import keep_up
from auth_service.sessions.repository import delete_ended
from auth_service.users import attempts, email, look_alikes
from auth_service.webhooks.delivery import LOOK_SECONDS as WEBHOOK_LOOK_SECONDS
from auth_service.webhooks.delivery import log_misses, run_webhooks

TIDY_SECONDS = 3600
TIDY_AFTER_SECONDS = 60  # by then a fleet that was rolled over has its new workers
CONNECT_SECONDS = 1
KEEP_ENDED_SESSIONS = timedelta(days=30)


def jobs_of(resources: Resources) -> list[Job]:
    """All of a worker's."""

    jobs = [
        Job("redis_connections", partial(keep_connected, resources.redis), CONNECT_SECONDS, first=True),
        Job("postgres_connections", resources.hot.connect_all, CONNECT_SECONDS, first=True),
        Job(
            "changes",
            resources.coherence.run,
            coherence.RESTART_SECONDS,
            endless=True,
            ready=resources.coherence.hearing,
        ),
        Job("signing_keys", resources.keys.load, RELOAD_SECONDS, first=True),
        Job("denials", resources.denylist.catch_up, CATCH_UP_SECONDS, first=True),
        Job("denials_of_others", resources.denylist.learn, LEARN_SECONDS),
        Job("mails", lambda: deliver(resources), DELIVERY_SECONDS),
        Job("tidy", partial(tidy, resources), TIDY_SECONDS, after=TIDY_AFTER_SECONDS),
        Job("audit_head", partial(publish_head, resources), TIDY_SECONDS),
        Job("login_history", partial(keep_up, resources), TIDY_SECONDS),
        Job("login_looks", partial(_fill_looks, resources), look_alikes.FILL_SECONDS),
        Job("grant_jobs", partial(run_grant_jobs, resources), GRANTS_LOOK_SECONDS, endless=True),
        Job("pools", partial(measure_pools, resources), POOLS_SECONDS),
    ]
    if not resources.settings.account_url:
        jobs.append(Job("templates", templating.compile_all, TIDY_SECONDS, after=templating.COMPILE_AFTER_SECONDS))
    return [*jobs, *relay_jobs(resources)] if resources.settings.relay_in_workers else jobs


def relay_jobs(resources: Resources) -> list[Job]:
    """What brings events to their consumers: the workers', or those of `auth-service relay`."""
    jobs = [Job("webhooks", partial(run_webhooks, resources), WEBHOOK_LOOK_SECONDS, endless=True)]
    if resources.settings.kafka_bootstrap is not None:
        jobs.append(Job("relay", partial(run_relay, resources), RESTART_SECONDS, endless=True))
    return jobs


async def tidy(resources: Resources) -> None:
    """Deletes what has had its time."""
    now = resources.clock()
    lock = timedelta(seconds=resources.settings.login_lock_seconds)
    longest = max(lock, BUDGET_WINDOW, attempts.ADDRESS_WINDOW)
    await attempts.forget_old(resources, now - longest)
    async with resources.db.begin() as session:
        await delete_ended(session, now - KEEP_ENDED_SESSIONS)
        await delete_expired(session, now)
        await delete_unseen(session, now - KEEP_UNSEEN)
        await email.delete_expired(session, now)
        await grant_jobs.delete_old(session, now)
    await delete_old(resources)
    await log_misses(resources)
    await delete_old_events(resources)


async def _fill_looks(resources: Resources) -> None:
    await look_alikes.fill(resources)
