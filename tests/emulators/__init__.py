"""The emulators of Google Cloud, and the strict fakes of IAM and the metadata server."""
