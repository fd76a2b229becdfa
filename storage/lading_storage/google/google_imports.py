"""Imports of Google's client libraries, at their first use, by one thread at a time.

Their modules import each other circularly. A thread that imports one of them while another thread is importing it finds
it partially initialized, and fails with an ImportError. So every user of these libraries calls one of these functions
first.
"""

import threading
from typing import Final

_IMPORT_LOCK: Final = threading.Lock()


def import_firestore() -> None:
    """Import the modules of the Firestore client."""
    with _IMPORT_LOCK:
        import google.api_core.datetime_helpers
        import google.api_core.retry
        import google.cloud.firestore
        import google.cloud.firestore_v1.base_query  # noqa: F401  # the caller imports it by name


def import_storage() -> None:
    """Import the modules of the Cloud Storage client."""
    with _IMPORT_LOCK:
        import google.api_core.retry
        import google.cloud.storage  # type: ignore[import-untyped]
        import google.cloud.storage.retry  # type: ignore[import-untyped]  # noqa: F401
