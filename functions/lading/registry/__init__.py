"""The rules of a registry. Knows neither HTTP nor Google: it takes names and bytes, and raises RegistryError.

registry    Registry, which is all that the layers above see
blobs       reading, deleting and mounting blobs
uploads     upload sessions, from the first byte to the published blob
manifests   putting and getting manifests, and their referrers
documents   what a manifest's bytes say: media type, subject, references
tags        moving, deleting and listing tags
moves       their history, a row each move
rollback    a tag names again what it named before
immutable   tags that are created once
followers   what goes with a manifest that is deleted
deletion    deleting manifests and repositories, so that they can be restored
undelete    restoring them, and forgetting them for good
links       what a commit writes about links: which may be garbage
referring   who refers to a manifest: by its subject, or by a tag made of its digest
acts        who did what, and when
policies    clean-up policies, and what each applies to; policy_files reads Artifact Registry's JSON
graph       which manifest of a repository holds which: indexes their children, subjects their referrers
cleanup     what clean-up decides of each manifest, and why; expiry deletes what it decided on
inventory   what is in a repository, all at once
pulls       when manifests were last pulled
running     what runs somewhere, as deployers report it
names       the grammar of repository names and tags
globs       texts with stars
pages       pages of a listing
attempts    trying again after a lost race
errors      every error that a client may be told of, a row each
"""
