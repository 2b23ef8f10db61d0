"""Signing keys of the local stack, and tokens made with them: of the platform, and of an age provider.

They exist so that a laptop and the tests can call services that check every signature. Nothing here works unless
HOLDSPACE_ENVIRONMENT says "local", and the services accept these issuers in that environment only.
"""

import hashlib
import json
import os
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from infra.local import state
from infra.local.stack_error import StackError

ALGORITHM = "EdDSA"
ISSUER = "https://local.holdspace.test"
AUDIENCE = "holdspace"
AGE_ISSUER = "https://age.local.holdspace.test"
AGE_AUDIENCE = "holdspace-age"

KeyName = Literal["platform", "age-provider"]
KEY_NAMES: tuple[KeyName, ...] = ("platform", "age-provider")
DAY_SECONDS = 86_400


def create(data: Path) -> None:
    """Create each private key and its public key set under `<data>/keys` unless they exist.

    A key set is made again from its key when it is missing, so a run that was killed in between is completed. Raises
    StackError outside the local environment.
    """
    require_local()
    with state.locked(data):
        folder_of(data).mkdir(mode=0o700, exist_ok=True)
        for name in KEY_NAMES:
            if not private_path(data, name).exists():
                key = Ed25519PrivateKey.generate()
                pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                write(private_path(data, name), pem, mode=0o600)
            if not jwks_path(data, name).exists():
                jwks = {"keys": [public_jwk(load(data, name))]}
                write(jwks_path(data, name), json.dumps(jwks, indent=2).encode(), mode=0o644)


def mint(
    data: Path,
    *,
    subject: str,
    kind: Literal["service", "person"],
    scope: Sequence[str],
    audience: str = AUDIENCE,
    lifetime_seconds: int = 3600,
) -> str:
    """A signed token of the platform for a service or a person, good from now for the given time.

    `scope` lists rights. A negative lifetime gives an expired token. Raises StackError outside the local environment or
    before the keys exist.
    """
    about = {"sub": subject, "kind": kind, "scope": " ".join(scope)}
    return sign(data, "platform", {"iss": ISSUER, "aud": audience, **about}, lifetime_seconds)


def mint_age_token(
    data: Path,
    *,
    client_id: str,
    over_18: bool,
    assurance_level: Literal["LOW", "SUBSTANTIAL", "HIGH"] = "SUBSTANTIAL",
    method: str = "document",
    lifetime_seconds: int = 600,
    result_lifetime_seconds: int = 365 * DAY_SECONDS,
    readable: bool = True,
    receipt: str | None = None,
) -> str:
    """What the local age provider answers about a client; `receipt` becomes its `jti`, by default a fresh one.

    With `readable=False` the provider could not read the evidence: the token says so (`readable` is false) and carries
    no `over_18`. Raises StackError outside the local environment or before the keys exist.
    """
    result: dict[str, object] = {"over_18": over_18} if readable else {}
    claims = {
        "iss": AGE_ISSUER,
        "aud": AGE_AUDIENCE,
        "sub": client_id,
        "readable": readable,
        "method": method,
        "assurance_level": assurance_level,
        "result_expires_at": int(time.time()) + result_lifetime_seconds,
        **({"jti": receipt} if receipt is not None else {}),
        **result,
    }
    return sign(data, "age-provider", claims, lifetime_seconds)


def sign(data: Path, name: KeyName, claims: Mapping[str, object], lifetime_seconds: int) -> str:
    """Add the times and, unless given, a fresh `jti`, and sign; the header names the key. Raises like `mint`."""
    require_local()
    key = load(data, name)
    now = int(time.time())
    complete = {"iat": now, "exp": now + lifetime_seconds, "jti": uuid.uuid4().hex, **claims}
    return jwt.encode(complete, key, algorithm=ALGORITHM, headers={"kid": str(public_jwk(key)["kid"])})


def load(data: Path, name: KeyName) -> Ed25519PrivateKey:
    """A private key; raises StackError when it was never created or is not of the kind made here."""
    path = private_path(data, name)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError) as error:
        raise StackError(f"{path} is missing or damaged; delete it if it is there, then run up.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StackError(f"{path} is no Ed25519 key; delete it and its key set, then run up.")
    return key


def public_jwk(key: Ed25519PrivateKey) -> dict[str, object]:
    """The public half as a JSON Web Key. Its id is the RFC 7638 thumbprint, so a new key never reuses an id."""
    public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    required = {member: public[member] for member in ("crv", "kty", "x")}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
    thumbprint = urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")
    return {**required, "kid": thumbprint, "use": "sig", "alg": ALGORITHM}


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step, never readable to more than `mode` allows."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def require_local() -> None:
    """Raise StackError unless this is declared to be a local environment."""
    if os.environ.get("HOLDSPACE_ENVIRONMENT") != "local":
        raise StackError("Local signing keys work only with HOLDSPACE_ENVIRONMENT=local.")


def folder_of(data: Path) -> Path:
    """Where the keys are."""
    return data / "keys"


def private_path(data: Path, name: KeyName) -> Path:
    """The private key in PEM."""
    return folder_of(data) / f"{name}.pem"


def jwks_path(data: Path, name: KeyName) -> Path:
    """The public key set (JWKS)."""
    return folder_of(data) / f"{name}.jwks.json"
