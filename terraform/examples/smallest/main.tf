# The smallest deployment: a private registry in one region, which costs nothing but what is stored while nobody uses it.

variable "project_id" {
  description = "The project to deploy into."
  type        = string
}

variable "repositories" {
  description = "Who may do what, once the groups exist: IAM refuses a policy as a whole that names a group which does not."
  type = map(object({
    readers = optional(list(string), [])
    writers = optional(list(string), [])
    admins  = optional(list(string), [])
  }))
  default = {} # as in { "team-a/" = { readers = ["domain:example.com"], writers = ["group:team-a@example.com"] } }
}

# What Google bills and bounds by the project of the caller counts for this one. The provider takes it from nowhere else.
provider "google" {
  project               = var.project_id
  user_project_override = true
  billing_project       = var.project_id
}

module "lading" {
  source     = "../.." # from elsewhere: git::https://HOST/lading.git//terraform?ref=VERSION
  project_id = var.project_id

  repositories = var.repositories
}

output "login" {
  value = module.lading.login
}
