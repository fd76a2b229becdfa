# A domain of one's own: an HTTPS load balancer with a certificate of Google's, and Cloud Armor, which bounds how much one
# address may ask. Both cost a monthly fee. After the first apply, let the domain's DNS name the address below; the
# certificate is there within the hour.

variable "project_id" {
  description = "The project to deploy into."
  type        = string
}

variable "domain" {
  description = "The registry's domain."
  type        = string
  default     = "registry.example.com"
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

  domain = var.domain
  armor  = { requests_per_minute = 3000 }
}

output "load_balancer_ip" {
  value = module.lading.load_balancer_ip
}
