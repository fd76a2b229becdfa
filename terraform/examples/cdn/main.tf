# Cloud CDN for layers: pulls from all over the world come from the cache next to them. The DNS of both registry.example.com
# and blobs.registry.example.com names the address below.

variable "project_id" {
  description = "The project to deploy into."
  type        = string
}

variable "cdn_key" {
  description = "16 random bytes, in base64url: head -c 16 /dev/urandom | base64 | tr +/ -_"
  type        = string
  sensitive   = true
}

# What Google bills and bounds by the project of the caller counts for this one. The provider takes it from nowhere else.
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
