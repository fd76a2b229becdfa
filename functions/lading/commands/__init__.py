"""Commands of `lading`, a file each; output.py prints for all of them, options.py has their shared options."""
