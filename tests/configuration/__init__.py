"""Options, variables and lading.toml."""
