# Cloud Build builds an image on each commit, pushes it to the registry, and reads its digest back (cloudbuild.yaml).

variable "project_id" {
  description = "Project to deploy into."
  type        = string
}

variable "repository" {
  description = "Source repository that is connected to Cloud Build, projects/…/connections/…/repositories/…"
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

  repositories = {
    "team-a/" = { writers = [google_service_account.build.member] }
  }
}

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "team-a-build"
  display_name = "Builds and pushes the images of team-a"
}

# Writes the build's log. It needs no role on the project to push: the managed folder team-a/ grants that.
resource "google_project_iam_member" "log" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

resource "google_cloudbuild_trigger" "commit" {
  project         = var.project_id
  location        = "europe-west1"
  name            = "team-a-app"
  service_account = google_service_account.build.id
  filename        = "cloudbuild.yaml"

  repository_event_config {
    repository = var.repository
    push {
      branch = "^main$"
    }
  }

  substitutions = {
    _IMAGE = "${module.lading.host}/team-a/app"
  }
}
