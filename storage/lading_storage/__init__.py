"""Where bytes and names live: two protocols, the records they keep, and two drivers for each.

protocols   what every driver promises: BlobStore and MetadataStore
records     the frozen values that the metadata store keeps
past        those of what was deleted, and of the history of tags
upkeep      those of pulls, of what runs somewhere, and of jobs
kinds       all of them
digests     digests, and a hash that can stop in one process and go on in another
errors      what a driver may raise
filesystem, sqlite     the drivers of a laptop or a server of one's own
gcs, firestore         the drivers of Google Cloud

Nothing here knows a rule of the registry, and nothing here knows HTTP's side of it.
"""
