"""Google as an identity provider, an authorizer and a store of secrets."""
