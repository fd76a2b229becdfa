"""The commands that start the functions, as Cloud Run and functions-framework run them."""

import sys
from pathlib import Path

import main

SOURCE = Path(main.__file__)

FRAMEWORK = [
    str(Path(sys.executable).parent / "functions-framework"),
    "--target=registry",
    f"--source={SOURCE}",
    "--port={port}",
]

IN_CLOUD_RUN = {"K_SERVICE": "registry", "FUNCTION_TARGET": "registry"}

# Cloud Run gives the port in PORT, which functions-framework is told, too.
AS_BUILT = ["env", "PORT={port}", "LADING_URL=http://127.0.0.1:{port}", *FRAMEWORK]
