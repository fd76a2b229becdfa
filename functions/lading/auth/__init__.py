"""Authentication and authorization: who sent a request, and what that principal may do.

`access` holds the types and protocols that the other modules share; `authenticator` is the entry point for requests.
Google's services are in the package `google`.
"""
