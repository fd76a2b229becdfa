"""Backup: copy a registry into a folder while it serves requests, restore from it, and promote it to a registry."""

from lading.jobs.backup.marker import BackupRefused
from lading.jobs.backup.promotion import promote
from lading.jobs.backup.report import BackupReport
from lading.jobs.backup.restoration import RestoreOptions, restore
from lading.jobs.backup.run import BackupOptions, back_up

__all__ = [
    "BackupOptions",
    "BackupRefused",
    "BackupReport",
    "RestoreOptions",
    "back_up",
    "promote",
    "restore",
]
