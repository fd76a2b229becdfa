"""Trust in manifests: which signatures hold by the registry's own verification, and which exceptions people made."""
