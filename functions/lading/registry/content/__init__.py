"""Content of images: blobs, upload sessions and manifests."""
