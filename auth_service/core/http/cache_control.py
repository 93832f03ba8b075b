"""What a caller wants of answers that are kept. Pure."""


def wants_fresh(cache_control: bytes) -> bool:
    """RFC 9111 section 5.2.1.4: no answer that is kept, which the stores have not confirmed."""
    return b"no-cache" in cache_control.lower()
