"""The client's reading of a token, with the keys, the rules and the time of a service in this process."""

import jwt
from auth_service_client import Caller
from auth_service_client.access_tokens import BadToken, Rules, key_id, read_token

from tests.support.api import Api


def client_reads(api: Api, token: str | bytes) -> Caller:
    """Raises BadToken. Knows nothing of revocation."""
    text = token if isinstance(token, str) else token.decode("latin-1")
    resources = api.resources
    rules = Rules(resources.settings.issuer, resources.settings.audience)
    key = resources.keys._keys.get(key_id(text))
    if key is None:
        raise BadToken("unknown kid")
    return read_token(text, jwt.PyJWK(key.public_jwk), rules, resources.clock().timestamp())
