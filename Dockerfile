# `make release` gives a digest in the place of the tag (python@sha256:…) where the engine knows it.
ARG PYTHON_IMAGE=python:3.13-slim

# Build stage: the virtual environment, with every dependency pinned and checked by hash.
FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
# requirements-otel.txt has what traces need besides.
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-otel.txt requirements-dev.txt ./
COPY scripts/install.sh scripts/
RUN scripts/install.sh python /venv "$REQUIREMENTS"
ENV PATH=/venv/bin:$PATH
COPY pyproject.toml README.md ./
COPY alembic.ini ./
COPY alembic alembic
COPY auth_service auth_service
# The command on the PATH; the package itself is read from /app.
RUN printf '#!/bin/sh\nexec /venv/bin/python -m auth_service "$@"\n' > /venv/bin/auth-service \
    && chmod +x /venv/bin/auth-service

# What goes into the image, the same from each build: bytecode that no time of a file is in, names in one order, one
# mode and one time for all (1980, the oldest that a wheel knows: a release with the same requirements has that layer
# from the one before).
FROM build AS tree
RUN mkdir -p /tree/dependencies /tree/service/app /tree/service/etc \
    && cp -a /venv /tree/dependencies/venv && cp -a auth_service alembic alembic.ini /tree/service/app/ \
    && find /tree -depth -name __pycache__ -exec rm -r {} + \
    && for part in dependencies service; do \
        PYTHONHASHSEED=0 python -m compileall -q -s "/tree/$part" --invalidation-mode unchecked-hash "/tree/$part" || exit 1; \
    done \
    && cp /etc/passwd /tree/service/etc/passwd \
    && echo 'auth:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /tree/service/etc/passwd \
    && chmod -R u=rwX,go=rX /tree && find /tree -exec touch -h -d @315532800 {} +

# What runs: no compiler, no pip cache, no root; works with a read-only root file system.
FROM ${PYTHON_IMAGE} AS service
# Into / and not into /venv: a folder that COPY or WORKDIR makes has the time of the build.
COPY --from=tree /tree/dependencies/ /
COPY --from=tree /tree/service/ /
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/ready', timeout=2)"]
CMD ["auth-service", "serve"]
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="auth-service" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE"

# The suite in a container: docker-compose.test.yml builds this one.
FROM build AS test
RUN scripts/install.sh /usr/local/bin/python /venv requirements-dev.txt
COPY . .
ENV PYTHONPATH=/app
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin auth && chown -R auth /app
USER auth
CMD ["python", "-m", "pytest", "-n", "2", "-q"]
