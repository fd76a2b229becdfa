"""Rules in the metadata store: what they protect, how a configuration and people change them."""
