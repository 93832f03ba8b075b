#!/usr/bin/env bash
# The tests with coverage: `scripts/coverage.sh .venv/bin -n 3 -k refresh`; `make test COVERAGE=1` runs it.
set -euo pipefail
bin=$1
shift

# Since 3.12 Python itself reports each line once (`sys.monitoring`), and greenlets are nothing to it. Before, coverage
# traces every call, and must ask each time which of SQLAlchemy's greenlets it is in: that takes twice as long.
if "$bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
    export COVERAGE_CORE=sysmon COVERAGE_SWITCHING=thread
fi
exec "$bin/python" -m pytest --cov=auth_service --cov-report=term --cov-fail-under=92 "$@"
