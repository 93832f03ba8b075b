#!/usr/bin/env bash
# The tests with coverage: `scripts/coverage.sh .venv/bin -n 3 -k refresh`. It takes about twice as long as without.
set -euo pipefail
bin=$1
shift

# Python tells coverage of each line once with `sys.monitoring`. It has that since 3.12, and greenlets are nothing to it.
# Before 3.12 coverage traces every call, and must ask each time which of SQLAlchemy's greenlets it is in.
if "$bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
    export COVERAGE_CORE=sysmon COVERAGE_SWITCHING=thread
fi
exec "$bin/python" -m pytest --cov=auth_service --cov-report=term --cov-fail-under=92 "$@"
