"""The mail server and Kafka: without them the service runs on, and what it has to say waits."""

import ssl

from aiosmtplib import SMTPAuthenticationError, SMTPException

from auth_service.core.connections import Resources
from auth_service.doctor.finding import Finding, place_of
from auth_service.events.kafka import BadKafkaOptions, CannotAsk, list_topics
from auth_service.mail.smtp import open_smtp


async def smtp(resources: Resources) -> list[Finding]:
    """Connects, encrypts and logs in as a mail would; sends nothing."""
    settings = resources.settings
    if settings.smtp_url is None:
        return []
    try:
        connection = await open_smtp(settings)
        await connection.quit()
    except (SMTPException, OSError) as error:
        problem, fix = _why_no_mail(error)
        return [Finding("smtp", "SMTP_URL", f"{place_of(settings.smtp_url)} {problem}", fix)]
    return []


async def kafka(resources: Resources) -> list[Finding]:
    """Asks for the list of topics; makes none."""
    settings = resources.settings
    if settings.kafka_bootstrap is None:
        return []
    try:
        there = await list_topics(settings)
    except BadKafkaOptions:
        problem, fix = "has what librdkafka does not take", "see the names in librdkafka's CONFIGURATION.md"
        return [Finding("kafka", "KAFKA_OPTIONS", problem, fix)]
    except CannotAsk as error:
        problem = f"{settings.kafka_bootstrap} cannot be asked ({error.why})"
        fix = "start the brokers, correct the addresses, or set TLS and login in KAFKA_OPTIONS_FILE"
        return [Finding("kafka", "KAFKA_BOOTSTRAP", problem, fix)]
    wanted = {
        "KAFKA_TOPIC_NEW_USER": settings.kafka_topic_new_user,
        "KAFKA_TOPIC_EVENTS": settings.kafka_topic_events,
    }
    return [
        Finding(
            "kafka",
            name,
            f"there is no topic {topic}; brokers that make topics by themselves make it without replicas",
            f"kafka-topics.sh --create --topic {topic} --partitions 12 --replication-factor 3",
        )
        for name, topic in wanted.items()
        if topic not in there
    ]


def _why_no_mail(error: Exception) -> tuple[str, str]:
    """In words of ours: the server's own may repeat the user's name."""
    if isinstance(error, SMTPAuthenticationError):
        return "refuses its user or password", "correct both, percent-encoded"
    if isinstance(error.__cause__ or error, ssl.SSLCertVerificationError):
        return (
            "shows a certificate that is not trusted here",
            "use the host name that it is for; for an authority of your own name its certificate in SSL_CERT_FILE",
        )
    if isinstance(error, SMTPException) and "STARTTLS" in str(error):
        return (
            "offers no TLS, and in production no password is sent without",
            "switch STARTTLS on at the server, or use smtps:// with its TLS port",
        )
    fix = "start the server, or correct host and port; smtps:// is for port 465, smtp:// for 587"
    return f"cannot be used ({type(error).__name__})", fix
