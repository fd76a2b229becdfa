# Cloud CDN for layers: pulls all over the world are served by the nearest cache. The DNS records of registry.example.com
# and blobs.registry.example.com must point to the address below.

variable "project_id" {
  description = "Project to deploy into."
  type        = string
}

variable "cdn_key" {
  description = "16 random bytes, in base64url: head -c 16 /dev/urandom | base64 | tr +/ -_"
  type        = string
  sensitive   = true
}

# Quota project: billing and quotas by the caller's project count for this one. It can only be set in the provider block.
provider "google" {
  project               = var.project_id
  user_project_override = true
  billing_project       = var.project_id
}

module "lading" {
  source     = "../.."
  project_id = var.project_id

  domain  = "registry.example.com"
  cdn_key = var.cdn_key
}

output "load_balancer_ip" {
  value = module.lading.load_balancer_ip
}
