# Custom domain: an HTTPS load balancer with a Google-managed certificate, and Cloud Armor with a rate limit per client
# address. Both cost a monthly fee. After the first apply, point the domain's DNS record to the address below; the
# certificate is issued within an hour.

variable "project_id" {
  description = "Project to deploy into."
  type        = string
}

variable "domain" {
  description = "Domain of the registry."
  type        = string
  default     = "registry.example.com"
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

  domain = var.domain
  armor  = { requests_per_minute = 3000 }
}

output "load_balancer_ip" {
  value = module.lading.load_balancer_ip
}
