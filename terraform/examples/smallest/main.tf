# Smallest deployment: a private registry in one region, which while idle costs nothing except for storage.

variable "project_id" {
  description = "Project to deploy into."
  type        = string
}

variable "repositories" {
  description = "Access by prefix. Groups must exist: IAM rejects a policy that names a group that does not."
  type = map(object({
    readers = optional(list(string), [])
    writers = optional(list(string), [])
    admins  = optional(list(string), [])
  }))
  default = {} # for example { "team-a/" = { readers = ["domain:example.com"], writers = ["group:team-a@example.com"] } }
}

# Quota project: billing and quotas by the caller's project count for this one. It can only be set in the provider block.
provider "google" {
  project               = var.project_id
  user_project_override = true
  billing_project       = var.project_id
}

module "lading" {
  source     = "../.." # outside this repository: git::https://HOST/lading.git//terraform?ref=VERSION
  project_id = var.project_id

  repositories = var.repositories
}

output "login" {
  value = module.lading.login
}
