"""The mail server and Kafka: without them the service runs on, and what it has to say waits."""

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
    place = place_of(settings.smtp_url)
    try:
        connection = await open_smtp(settings)
        await connection.quit()
    except SMTPAuthenticationError:
        problem, fix = f"{place} refuses its user or password", "correct both, percent-encoded"
    except SMTPException as error:
        if "STARTTLS" not in str(error):
            problem = f"{place} cannot be used ({type(error).__name__})"
            fix = "start the server, or correct host and port; smtps:// is for port 465, smtp:// for 587"
        else:
            problem = f"{place} offers no TLS, and in production no password is sent without"
            fix = "switch STARTTLS on at the server, or use smtps:// with its TLS port"
    except OSError as error:
        problem = f"{place} cannot be reached ({type(error).__name__})"
        fix = "start the server, or correct host and port"
    else:
        return []
    return [Finding("smtp", "SMTP_URL", problem, fix)]


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
