# Build stage: the virtual environment, with every dependency pinned and checked by hash.
FROM python:3.13-slim AS build
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
# requirements-otel.txt has what traces need besides.
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-otel.txt requirements-dev.txt ./
COPY scripts/install.sh scripts/
RUN scripts/install.sh python /venv "$REQUIREMENTS"
ENV PATH=/venv/bin:$PATH
COPY pyproject.toml README.md ./
COPY auth_service auth_service
# The command on the PATH; the package itself is read from /app.
RUN printf '#!/bin/sh\nexec /venv/bin/python -m auth_service "$@"\n' > /venv/bin/auth-service \
    && chmod +x /venv/bin/auth-service && python -m compileall -q auth_service

# What runs: no compiler, no pip cache, no root; works with a read-only root file system.
FROM python:3.13-slim AS service
WORKDIR /app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin auth
COPY --from=build /venv /venv
COPY alembic.ini ./
COPY alembic alembic
COPY --from=build /app/auth_service auth_service
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
USER auth
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/ready', timeout=2)"]
CMD ["auth-service", "serve"]

# The suite in a container: docker-compose.test.yml builds this one.
FROM build AS test
RUN scripts/install.sh /usr/local/bin/python /venv requirements-dev.txt
COPY . .
ENV PYTHONPATH=/app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin auth && chown -R auth /app
USER auth
CMD ["python", "-m", "pytest", "-n", "2", "-q"]
