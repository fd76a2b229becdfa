"""Images that pass the policies of the registry, for the function that writes attestations."""
