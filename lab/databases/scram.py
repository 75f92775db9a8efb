"""SCRAM-SHA-256 verifiers, so that a password is in no SQL statement and in no log.

The form that PostgreSQL stores: https://www.postgresql.org/docs/current/catalog-pg-authid.html
"""

import base64
import hashlib
import hmac
import secrets
import unicodedata

ITERATIONS = 4096
SALT_BYTES = 16


def make_verifier(password: str, salt: bytes | None = None) -> str:
    """The verifier of a password, to be given to ALTER ROLE in its place.

    Args:
        password: the password.
        salt: 16 bytes; random ones by default.
    """
    salt = salt or secrets.token_bytes(SALT_BYTES)
    prepared = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
