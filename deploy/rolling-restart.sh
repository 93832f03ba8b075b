#!/bin/sh
# Replaces the service's containers one by one, without a failed request: a new one is ready before an old one stops.
# After a build or a pull this is the upgrade; migrate first: docker compose run --rm migrate
set -eu

compose=${COMPOSE:-docker compose}
patience=${PATIENCE_SECONDS:-120}

containers() { $compose ps -q service; }

wait_until_healthy() {
    waited=0
    for one in $(containers); do
        until [ "$(docker inspect -f '{{.State.Health.Status}}' "$one")" = healthy ]; do
            if [ "$waited" -ge "$patience" ]; then
                echo "$one is not healthy after $patience s; the old containers go on. See: docker logs $one" >&2
                exit 1
            fi
            sleep 1
            waited=$((waited + 1))
        done
    done
}

old=$(containers)
if [ -z "$old" ]; then
    echo "The service does not run here; start it with: $compose up -d" >&2
    exit 1
fi
count=$(echo "$old" | wc -l)
for container in $old; do
    $compose up -d --no-deps --no-recreate --scale service=$((count + 1)) service
    wait_until_healthy
    echo "stopping $container"
    docker stop -t 35 "$container" >/dev/null
    docker rm "$container" >/dev/null
done
echo "replaced $count"
