"""Trust: what the registry verified about the signatures of a manifest is what is there, whatever is done to them."""
