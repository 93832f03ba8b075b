#!/usr/bin/env bash
# The tests with coverage: `scripts/coverage.sh .venv/bin -n 3 -k refresh`; `make test COVERAGE=1` runs it.
set -euo pipefail
bin=$1
shift

# Since 3.12 Python itself tells coverage of each line once (`sys.monitoring`): all is measured, child processes too. Before,
# coverage traces every call, which takes twice as long; so less is measured there, and less is asked for.
if "$bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
    export COVERAGE_CORE=sysmon
    measured=(--cov-config=pyproject.toml --cov-fail-under=92)
else
    measured=(--cov-config=scripts/coverage_before_3_12.ini --cov-fail-under=88)
fi
exec "$bin/python" -m pytest --cov=auth_service --cov-report=term "${measured[@]}" "$@"
