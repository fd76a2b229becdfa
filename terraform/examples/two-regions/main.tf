# Two regions behind one domain: clients are routed to the nearest healthy one. The stores are multi-regional, so that both
# regions serve everything; otherwise each pull in the second region would pay for traffic between regions.

variable "project_id" {
  description = "Project to deploy into."
  type        = string
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

  domain             = "registry.example.com"
  region             = "europe-west1"
  more_regions       = ["europe-west4"]
  blob_location      = "EU"
  blob_dual_region   = ["EUROPE-WEST1", "EUROPE-WEST4"]
  firestore_location = "eur3"
}

output "load_balancer_ip" {
  value = module.lading.load_balancer_ip
}
