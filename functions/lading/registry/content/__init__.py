"""What images are made of: blobs, uploads and manifests."""
