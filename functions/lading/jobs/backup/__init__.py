"""Copying all that a registry has into a folder, and back, while it serves.

marker        whose backup a folder is; the lock
run           a backup: the next state is made beside, and put in place at once
sync          records that differ, from a store of any kind
completeness  what is in a copy has all that it needs
objects       copying objects
restoration   what a backup has and a registry lacks; restoration_batches, history and sessions belong to it
promotion     a backup becomes a registry of its own
folder        the files of a backup, and their drivers
records       reading and writing records in batches
stores        the two stores of a registry; the report
"""

from lading.jobs.backup.marker import BackupRefused
from lading.jobs.backup.promotion import promote
from lading.jobs.backup.restoration import RestoreOptions, restore
from lading.jobs.backup.run import BackupOptions, back_up
from lading.jobs.backup.stores import BackupReport, Stores

__all__ = [
    "BackupOptions",
    "BackupRefused",
    "BackupReport",
    "RestoreOptions",
    "Stores",
    "back_up",
    "promote",
    "restore",
]
