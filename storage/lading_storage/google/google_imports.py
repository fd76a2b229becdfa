"""Google's client libraries, imported when they are first needed, by one thread at a time.

Their modules import each other in circles: a thread that needs one in the middle of another's import finds it half
made, and fails with an ImportError. So whoever uses them calls one of these first.
"""

import threading
from typing import Final

_IMPORT_LOCK: Final = threading.Lock()


def import_firestore() -> None:
    """Import what a client of Firestore is made of."""
    with _IMPORT_LOCK:
        import google.api_core.datetime_helpers
        import google.api_core.retry
        import google.cloud.firestore
        import google.cloud.firestore_v1.base_query  # noqa: F401  # whoever called imports it by name


def import_storage() -> None:
    """Import what a client of Cloud Storage is made of."""
    with _IMPORT_LOCK:
        import google.api_core.retry
        import google.cloud.storage  # type: ignore[import-untyped]
        import google.cloud.storage.retry  # type: ignore[import-untyped]  # noqa: F401
