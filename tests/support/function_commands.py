"""The commands that start the functions, as Cloud Run and functions-framework run them."""

import sys
import time
from pathlib import Path
from typing import Any

import jwt

import main

SOURCE = Path(main.__file__)


def framework(target: str) -> list[str]:
    """Return the command that starts a function as the buildpack does."""
    program = str(Path(sys.executable).parent / "functions-framework")
    return [program, f"--target={target}", f"--source={SOURCE}", "--port={port}"]


def caller_headers(account: str, **changes: Any) -> dict[str, str]:
    """Return a service account's token as the platform hands it on: verified, and without its signature."""
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "email": account, "email_verified": True, "exp": now + 600}
    header, payload, _ = jwt.encode(claims | changes, "x" * 32, "HS256").split(".")
    return {"Authorization": f"Bearer {header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"}


FRAMEWORK = framework("registry")

IN_CLOUD_RUN = {"K_SERVICE": "registry", "FUNCTION_TARGET": "registry"}

# Cloud Run gives the port in PORT, which functions-framework is told, too.
AS_BUILT = ["env", "PORT={port}", "LADING_URL=http://127.0.0.1:{port}", *FRAMEWORK]
