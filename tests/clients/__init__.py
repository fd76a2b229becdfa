"""Real clients against `lading serve`: docker, containerd, crane, oras, regctl, regsync, skopeo and gcloud."""
