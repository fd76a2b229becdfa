"""The rules of a registry. Knows neither HTTP nor Google: it takes names and bytes, and raises RegistryError.

registry    Registry, which is all that the layers above see
blobs       reading, deleting and mounting blobs
uploads     upload sessions, from the first byte to the published blob
manifests   putting, getting and deleting manifests; their tags and referrers
documents   what a manifest's bytes say: media type, subject, references
globs       texts with stars
policies    clean-up policies, and what each applies to; policy_files reads Artifact Registry's JSON
graph       which manifest of a repository holds which: indexes their children, subjects their referrers
cleanup     what clean-up decides of each manifest, and why
names       the grammar of repository names and tags
attempts    trying again after a lost race
errors      every error that a client may be told of, a row each
"""
