"""Refresh: Redis referees the race, Postgres has the last word, and nobody honest is logged out by a lost answer."""

from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from auth_service.core.connections import Resources
from auth_service.core.errors import InvalidRefreshToken
from auth_service.sessions import repository
from auth_service.sessions.client import Client
from auth_service.sessions.refresh_families import Verdict
from auth_service.sessions.refresh_token import RefreshToken, read_refresh_token
from auth_service.sessions.repository import SessionRecord
from auth_service.sessions.service import REFRESH_REUSE, end_session, families, idle_life
from auth_service.sessions.start import IssuedTokens, issue_tokens

log = structlog.get_logger(__name__)


class Ruling(StrEnum):
    """What becomes of a token whose rotation was not ours to record."""

    SAME_SUCCESSOR = "same_successor"
    REFUSE = "refuse"
    REUSE = "reuse"


async def rotate(resources: Resources, text: str, client: Client) -> IssuedTokens:
    """The successor's tokens; raises InvalidRefreshToken, and ends the session where an old token shows reuse."""
    token = read_refresh_token(resources.secrets, text)
    await resources.keys.look_again()
    verdict = await _referee(resources, token)
    now = resources.clock()
    # Recorded before anyone gets the successor, whatever the verdict: a generation that Postgres never recorded
    # was never handed out, and then presenting its parent again is a lost answer, not theft (REF-7).
    recorded = await repository.advance(
        resources.hot,
        token.session_id,
        token.generation,
        now,
        idle_since=now - idle_life(resources),
        ip=client.ip,
        user_agent=client.user_agent,
    )
    if recorded is not None:
        user_id, epoch = recorded
        resources.metrics.refreshed("advanced").inc()
    else:
        record = await repository.find_record(resources.hot, token.session_id)
        grace = timedelta(seconds=resources.settings.refresh_grace_seconds)
        ruling = rule(record, token.generation, verdict, now, idle=idle_life(resources), grace=grace)
        resources.metrics.refreshed(ruling).inc()
        if ruling is Ruling.REUSE and await end_session(resources, token.session_id, REFRESH_REUSE):
            log.warning("refresh_token_reused", session_id=str(token.session_id), generation=token.generation)
        if ruling is not Ruling.SAME_SUCCESSOR or record is None:
            # "Log in again" says that the session has ended, so its access tokens must have too.
            await resources.denylist.publish_of(None if record is None else record.user_id)
            raise InvalidRefreshToken
        user_id, epoch = record.user_id, record.epoch
    return issue_tokens(
        resources, user_id=user_id, epoch=epoch, session_id=token.session_id, generation=token.generation + 1
    )


async def _referee(resources: Resources, token: RefreshToken) -> Verdict:
    referee = families(resources)
    verdict = await referee.rotate(token.session_id, token.generation)
    if verdict is Verdict.UNKNOWN:  # Redis lost it, or is behind after a failover
        record = await repository.find_record(resources.hot, token.session_id)
        if record is None:
            await resources.denylist.publish_of(None)
            raise InvalidRefreshToken
        age = (resources.clock() - record.rotated_at).total_seconds()
        await referee.restore(token.session_id, max(record.generation, token.generation), age)
        verdict = await referee.rotate(token.session_id, token.generation)
    return verdict


def rule(
    record: SessionRecord | None,
    presented: int,
    verdict: Verdict,
    now: datetime,
    *,
    idle: timedelta,
    grace: timedelta,
) -> Ruling:
    """Pure. Only the immediate parent of the recorded generation, and only in the grace, has a successor."""
    if record is None or not record.live(now, idle):
        return Ruling.REFUSE
    in_grace = verdict is Verdict.REPEATED or now - record.rotated_at <= grace
    if record.generation == presented + 1 and in_grace:
        return Ruling.SAME_SUCCESSOR
    return Ruling.REUSE
