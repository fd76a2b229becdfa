"""Rules of a registry, independent of HTTP and of Google Cloud: names and bytes in, RegistryError out."""
