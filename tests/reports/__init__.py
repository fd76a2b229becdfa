"""What users of other registries have reported in public, a test for each kind, in our own words.

The kinds were collected from the issue trackers of registries and clients. Each docstring says what was reported; the
number is that of the kind. Where a subject has a suite of its own, this is the shortest test that would have shown it.

test_uploads     1 to 8    interrupted, repeated and unusual uploads
test_fronts      9 and 10  what a proxy in front breaks
test_listings    11 to 13  tags and repositories
test_deletions   14 to 17  deleting, and collecting what is left
test_referrers   18 to 20  what refers to an image
test_manifests   21 to 24  what a manifest may say
"""
