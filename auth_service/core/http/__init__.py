"""The edge and what belongs to HTTP: bodies, addresses, cookies, limits, and the OpenAPI document."""
