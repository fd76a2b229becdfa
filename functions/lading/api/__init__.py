"""HTTP to registry and back, one file per section of the spec. Knows HTTP and no rules.

base       what a handler gets, and the endpoint that says that this is a registry
blobs      pulling and deleting blobs
uploads    pushing blobs
manifests  pulling, pushing and deleting manifests
listings   tags, repositories and referrers
history    who moved which tag, from what to what, and when
token      tokens for those who log in
bodies     a request's body, in pieces, with an end to waiting
slots      how many threads are at requests with a body
connections  dropping those over which nothing moves any more
ranges     the Range of a pull, the Content-Range of a chunk
answers    errors as JSON
"""
