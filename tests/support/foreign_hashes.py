"""Hashes as other systems make them, each by its own library or by its written format, and cheap."""

import base64
import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import argon2
import bcrypt
from django.contrib.auth import hashers as django
from passlib import hash as passlib
from werkzeug.security import generate_password_hash

Maker = Callable[[str], str]


class _Argon2(django.Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 1, 64, 8


class _BcryptSha256(django.BCryptSHA256PasswordHasher):
    rounds = 4


class _Bcrypt(django.BCryptPasswordHasher):
    rounds = 4


class _Scrypt(django.ScryptPasswordHasher):
    work_factor, parallelism = 4, 5


class _Pbkdf2(django.PBKDF2PasswordHasher):
    iterations = 3


class _Pbkdf2Sha1(django.PBKDF2SHA1PasswordHasher):
    iterations = 3


def _by_django(hasher: Any) -> Maker:
    return lambda password: str(hasher.encode(password, hasher.salt()))


def _by_phc(digest: str) -> Maker:
    def make(password: str) -> str:
        salt = os.urandom(17)
        key = hashlib.pbkdf2_hmac(digest, password.encode(), salt, 3)
        written = [base64.b64encode(part).decode().rstrip("=") for part in (salt, key)]
        return f"$pbkdf2-{digest}$i=3,l={len(key)}${written[0]}${written[1]}"

    return make


def _by_php_bcrypt(password: str) -> str:
    return "$2y$" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()[4:]


MAKERS: dict[str, Maker] = {
    "django pbkdf2_sha256": _by_django(_Pbkdf2()),
    "django pbkdf2_sha1": _by_django(_Pbkdf2Sha1()),
    "django argon2": _by_django(_Argon2()),
    "django bcrypt_sha256": _by_django(_BcryptSha256()),
    "django bcrypt": _by_django(_Bcrypt()),
    "django scrypt": _by_django(_Scrypt()),
    "passlib pbkdf2_sha1": passlib.pbkdf2_sha1.using(rounds=3).hash,
    "passlib pbkdf2_sha256": passlib.pbkdf2_sha256.using(rounds=3).hash,
    "passlib pbkdf2_sha512": passlib.pbkdf2_sha512.using(rounds=3).hash,
    "passlib scrypt": passlib.scrypt.using(rounds=2, parallelism=2).hash,
    "passlib bcrypt_sha256": passlib.bcrypt_sha256.using(rounds=4).hash,
    "phc pbkdf2-sha256": _by_phc("sha256"),
    "phc pbkdf2-sha512": _by_phc("sha512"),
    "php bcrypt": _by_php_bcrypt,
    "php argon2id": argon2.PasswordHasher(time_cost=1, memory_cost=128, parallelism=1).hash,
    "werkzeug scrypt": lambda password: generate_password_hash(password, "scrypt:4:8:2"),
    "werkzeug pbkdf2": lambda password: generate_password_hash(password, "pbkdf2:sha256:3"),
}


def keycloak_password(algorithm: str, password: str, *, key_bytes: int = 64, iterations: int = 3) -> dict[str, Any]:
    """A credential of a realm export; `key_bytes` is 64 in most versions, whatever the digest."""
    salt, parameters = os.urandom(16), {}
    if algorithm == "argon2":
        lists = {"hashLength": ["32"], "memory": ["64"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}
        parameters = lists
        made = argon2.low_level.hash_secret_raw(
            password.encode(), salt, iterations, 64, 1, 32, argon2.low_level.Type.ID, version=19
        )
    else:
        digest = {"pbkdf2": "sha1", "pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512"}[algorithm]
        made = hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations, key_bytes)
    secret = {"value": _padded(made), "salt": _padded(salt), "additionalParameters": {}}
    data = {"hashIterations": iterations, "algorithm": algorithm, "additionalParameters": parameters}
    return {"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(data)}


def keycloak_otp(value: str, **data: Any) -> dict[str, Any]:
    known = {"subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1"}
    return {
        "type": "otp",
        "secretData": json.dumps({"value": value}),
        "credentialData": json.dumps(known | data),
    }


def _padded(value: bytes) -> str:
    return base64.b64encode(value).decode()
