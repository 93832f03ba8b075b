"""Runs the app of a side as `auth_service/serving.py` runs the service: one process, the same loop and HTTP parser.

    python -m bench.peers.serve bench.peers.raw:app --port 8001

It imports nothing of the service, so that it also runs where only a peer is installed.
"""

import argparse

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(
        given.app,
        host="127.0.0.1",
        port=given.port,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
        h11_max_incomplete_event_size=32 * 1024,
        timeout_keep_alive=30,
    )


if __name__ == "__main__":
    main()
