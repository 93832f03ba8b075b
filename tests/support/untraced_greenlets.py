"""Coverage before Python 3.12, at half the price: SQLAlchemy's greenlets run without its tracer.

Coverage can follow greenlets, but then asks at every call in which one it is. What runs inside of them is nearly all
SQLAlchemy's own.
"""

import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy.util import concurrency


def run_greenlets_untraced() -> None:
    """For this process, where a tracer is set."""
    concurrency._concurrency_shim._initialize()
    kind: Any = concurrency._AsyncIoGreenlet  # type: ignore[attr-defined]
    kind.switch, kind.throw = _untraced(kind.switch), _untraced(kind.throw)


def _untraced(switch: Callable[..., Any]) -> Callable[..., Any]:
    def there_and_back(*arguments: Any, **named: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return switch(*arguments, **named)
        finally:
            sys.settrace(tracer)

    return there_and_back
