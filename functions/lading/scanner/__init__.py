"""The scanner: works on the claims of a registry, in the same process or over HTTP. It knows no stores."""
