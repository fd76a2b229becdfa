"""Google as an identity provider, an authorizer and a keeper of secrets."""
