"""What a deployment has, may do and leaves: of two deployments, which the tests of this folder share."""
