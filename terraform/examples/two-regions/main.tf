# Two regions behind one domain: clients go to the nearest that answers. The stores are multi-regional, so that either
# region serves everything; without that, the second region would pay for traffic with each pull.

variable "project_id" {
  description = "The project to deploy into."
  type        = string
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
