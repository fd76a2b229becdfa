"""The Terraform module, applied to a fake of Google's control plane."""
