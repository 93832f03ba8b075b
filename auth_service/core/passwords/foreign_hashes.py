"""Password hashes as other systems spell them, written as libpass reads them. Pure; says nothing of their cost.

Only the spelling changes: each still needs the password that made it. All raise ValueError for what is no such hash,
with no part of it in the words.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping

# What the digest gives at once. PBKDF2 makes its key block by block, and a longer key begins with the shorter one
# (RFC 8018, 5.2): so the first block of Keycloak's 64 bytes is all that is needed. scrypt ends in PBKDF2-SHA256.
DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}
_PBKDF2_NAMES = {"sha1": "pbkdf2", "sha256": "pbkdf2-sha256", "sha512": "pbkdf2-sha512"}
_ARGON2_VERSIONS = {"1.0": 16, "1.3": 19}
_NATIVE = ("$2", "$argon2", "$pbkdf2", "$bcrypt-sha256$", "bcrypt_sha256$")
_NO_HASH = "is no password hash that can be verified here"


def as_stored(text: str) -> str:
    """Of Django, passlib, PHP, werkzeug, and the PHC's string format; what libpass reads already stays as it is."""
    for form, write in _FORMS:
        if found := form.fullmatch(text):
            return write(found.groupdict())
    if text.startswith(_NATIVE):
        return text
    raise ValueError(_NO_HASH)


def of_keycloak(algorithm: str, iterations: int, key: str, salt: str, parameters: Mapping[str, list[str]]) -> str:
    """From `credentialData` and `secretData`: key and salt in base64, `parameters` lists of one text each."""
    if algorithm == "argon2":
        try:
            kind, memory, lanes = (parameters[name][0] for name in ("type", "memory", "parallelism"))
            version = _ARGON2_VERSIONS[parameters["version"][0]]
        except (KeyError, IndexError):
            raise ValueError(_NO_HASH) from None
        if kind not in {"i", "d", "id"} or not (memory.isdecimal() and lanes.isdecimal()):
            raise ValueError(_NO_HASH)
        costs = f"m={memory},t={iterations},p={lanes}"
        return f"$argon2{kind}$v={version}${costs}${_unpadded(_bytes(salt))}${_unpadded(_bytes(key))}"
    digest = {"pbkdf2": "sha1", "pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512"}.get(algorithm)
    if digest is None:
        raise ValueError(_NO_HASH)
    return _pbkdf2(digest, iterations, _bytes(salt), _bytes(key))


def _pbkdf2(digest: str, rounds: int | str, salt: bytes, key: bytes) -> str:
    size = DIGEST_BYTES[digest]
    if len(key) < size:
        raise ValueError(_NO_HASH)
    # passlib writes base64 with a dot for the plus.
    written = f"${_unpadded(salt)}${_unpadded(key[:size])}".replace("+", ".")
    return f"${_PBKDF2_NAMES[digest]}${int(rounds)}{written}"


def _scrypt(log_n: int, fields: Mapping[str, str], salt: bytes, key: bytes) -> str:
    size = DIGEST_BYTES["sha256"]
    if len(key) < size:
        raise ValueError(_NO_HASH)
    costs = f"ln={log_n},r={int(fields['r'])},p={int(fields['p'])}"
    return f"$scrypt${costs}${_unpadded(salt)}${_unpadded(key[:size])}"


def _log2(text: str) -> int:
    number = int(text)
    if number < 2 or number & (number - 1):
        raise ValueError(_NO_HASH)
    return number.bit_length() - 1


def _bytes(text: str) -> bytes:
    """Base64, padded or not; passlib's dot is a plus."""
    try:
        return base64.b64decode(text.replace(".", "+").rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_NO_HASH) from None


def _unpadded(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


_Write = Callable[[dict[str, str]], str]
_SALT_AND_KEY = r"\$(?P<salt>[A-Za-z0-9+/.]*)\$(?P<key>[A-Za-z0-9+/.]+)"
_FORMS: tuple[tuple[re.Pattern[str], _Write], ...] = (
    # Django: its salts are text, and hashed as that text.
    (
        re.compile(r"pbkdf2_(?P<digest>sha1|sha256)\$(?P<rounds>[0-9]{1,10})\$(?P<salt>[^$]+)\$(?P<key>[^$]+)"),
        lambda found: _pbkdf2(found["digest"], found["rounds"], found["salt"].encode(), _bytes(found["key"])),
    ),
    (
        re.compile(
            r"scrypt\$(?P<n>[0-9]{1,10})\$(?P<salt>[^$]+)\$(?P<r>[0-9]{1,6})\$(?P<p>[0-9]{1,6})\$(?P<key>[^$]+)"
        ),
        lambda found: _scrypt(_log2(found["n"]), found, found["salt"].encode(), _bytes(found["key"])),
    ),
    (re.compile(r"argon2(?P<rest>\$argon2.+)"), lambda found: found["rest"]),
    (re.compile(r"bcrypt\$(?P<rest>\$2.+)"), lambda found: found["rest"]),
    # werkzeug, which Flask's applications hash with.
    (
        re.compile(
            r"pbkdf2:(?P<digest>sha1|sha256|sha512):(?P<rounds>[0-9]{1,10})\$(?P<salt>[^$]+)\$(?P<key>(?:[0-9a-f]{2})+)"
        ),
        lambda found: _pbkdf2(found["digest"], found["rounds"], found["salt"].encode(), bytes.fromhex(found["key"])),
    ),
    (
        re.compile(
            r"scrypt:(?P<n>[0-9]{1,10}):(?P<r>[0-9]{1,6}):(?P<p>[0-9]{1,6})"
            r"\$(?P<salt>[^$]+)\$(?P<key>(?:[0-9a-f]{2})+)"
        ),
        lambda found: _scrypt(_log2(found["n"]), found, found["salt"].encode(), bytes.fromhex(found["key"])),
    ),
    # The PHC's string format; passlib's scrypt is spelled like it.
    (
        re.compile(r"\$pbkdf2-(?P<digest>sha1|sha256|sha512)\$i=(?P<rounds>[0-9]{1,10})(?:,l=[0-9]+)?" + _SALT_AND_KEY),
        lambda found: _pbkdf2(found["digest"], found["rounds"], _bytes(found["salt"]), _bytes(found["key"])),
    ),
    (
        re.compile(r"\$scrypt\$ln=(?P<ln>[0-9]{1,2}),r=(?P<r>[0-9]{1,6}),p=(?P<p>[0-9]{1,6})" + _SALT_AND_KEY),
        lambda found: _scrypt(int(found["ln"]), found, _bytes(found["salt"]), _bytes(found["key"])),
    ),
)
