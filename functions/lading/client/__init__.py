"""A client of registries: the management API over HTTP, with the credentials of docker or gcloud."""
