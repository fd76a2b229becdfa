"""Types of events. Consumers filter by these names, so a name that was released never changes its meaning.

    image.pushed        a manifest was stored that was not in the repository
    tag.moved           a tag points to another manifest than before, or is new: by a push, rollback or restore
    tag.deleted         a tag was deleted
    image.deleted       a manifest was deleted; it can be restored for a while
    image.restored      a deleted manifest is in the repository again
    image.purged        a deleted manifest cannot be restored any more
    repository.deleted  a repository was deleted; its tags and manifests have events of their own
    image.scanned       a scan of an image has another result than before, or its first one
    policy.denied       a policy refused a pull or the move of a tag; or would have, where it only audits
    policy.exempted     a policy let something pass that it would refuse: for an exempt caller, or by an exception

The last two are written after the response, and at most once an hour for each image, policy and caller, in a process;
but for an exception that someone opens, which has one in the same commit.
A request that changes nothing has no event: a push of the same manifest, a tag set to what it points to.
"""

from typing import Final

IMAGE_PUSHED: Final = "image.pushed"
TAG_MOVED: Final = "tag.moved"
TAG_DELETED: Final = "tag.deleted"
IMAGE_DELETED: Final = "image.deleted"
IMAGE_RESTORED: Final = "image.restored"
IMAGE_PURGED: Final = "image.purged"
REPOSITORY_DELETED: Final = "repository.deleted"
IMAGE_SCANNED: Final = "image.scanned"
POLICY_DENIED: Final = "policy.denied"
POLICY_EXEMPTED: Final = "policy.exempted"

EVENT_TYPES: Final = (
    IMAGE_PUSHED,
    TAG_MOVED,
    TAG_DELETED,
    IMAGE_DELETED,
    IMAGE_RESTORED,
    IMAGE_PURGED,
    REPOSITORY_DELETED,
    IMAGE_SCANNED,
    POLICY_DENIED,
    POLICY_EXEMPTED,
)
