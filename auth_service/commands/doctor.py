"""auth-service doctor: what is wrong with this installation, by setting and fix."""

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from auth_service.commands.running import REFUSED
from auth_service.doctor.finding import Severity

if TYPE_CHECKING:
    from auth_service.doctor.diagnosis import Diagnosis


def doctor(
    replicas: Annotated[int, typer.Option(min=1, help="How many of this service share the stores.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What is wrong with this installation, by setting and fix; changes nothing. Exit code 1: there are problems."""
    # Alembic takes a fifth of a second to import, which no other command and no start of the service should wait for;
    # nor should a worker carry the libraries of all that can be looked at.
    from alembic.script import ScriptDirectory

    from auth_service.commands.schema import alembic_config
    from auth_service.doctor.diagnosis import diagnose

    script = ScriptDirectory.from_config(alembic_config())
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]
    diagnosis = asyncio.run(diagnose(revisions=revisions, replicas=replicas))
    if json:
        _print_json(diagnosis)
    else:
        _print_words(diagnosis)
    raise typer.Exit(0 if diagnosis.well else REFUSED)


def _print_json(diagnosis: "Diagnosis") -> None:
    findings = [asdict(finding) for finding in diagnosis.findings]
    body = {"well": diagnosis.well, "findings": findings}
    body |= {"checked": diagnosis.checked, "not_checked": diagnosis.not_checked}
    sys.stdout.write(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() + "\n")


def _print_words(diagnosis: "Diagnosis") -> None:
    for severity in (Severity.PROBLEM, Severity.WARNING):
        for finding in diagnosis.findings:
            if finding.severity is severity:
                typer.echo(f"{severity.value}: {finding.setting}: {finding.problem}")
                typer.echo(f"    {finding.fix}   [{finding.check}]")
    for reason in sorted(set(diagnosis.not_checked.values())):
        names = [name for name, why in diagnosis.not_checked.items() if why == reason]
        typer.echo(f"not checked, {reason}: {', '.join(names)}")
    count = {severity: sum(f.severity is severity for f in diagnosis.findings) for severity in Severity}
    typer.echo(
        f"{len(diagnosis.checked)} checks: {count[Severity.PROBLEM]} problems, {count[Severity.WARNING]} warnings"
    )
