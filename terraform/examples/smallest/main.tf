# The smallest deployment: a private registry in one region, which costs nothing but what is stored while nobody uses it.

variable "project_id" {
  description = "The project to deploy into."
  type        = string
}

module "lading" {
  source     = "../.." # from elsewhere: git::https://HOST/lading.git//terraform?ref=VERSION
  project_id = var.project_id

  repositories = {
    "team-a/" = {
      readers = ["domain:example.com"]
      writers = ["group:team-a@example.com"]
      admins  = ["group:team-a-leads@example.com"]
    }
  }
}

output "login" {
  value = module.lading.login
}
