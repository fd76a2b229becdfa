# Cloud Run pulls only from Google's own registries. So it pulls through a remote repository of Artifact Registry, which
# pulls from Lading as a robot and caches the images. GKE can pull through it as well, and then needs no secret.
#
# Create the robot after the first apply, and add its secret to Secret Manager manually, so that it is not in the state:
#
#   lading robots create artifact-registry --repositories 'team-a/*' --may pull --metadata firestore://PROJECT/lading --keys secret://PROJECT/lading-keys
#   gcloud secrets versions add lading-robot --data-file=-

variable "project_id" {
  description = "Project to deploy into."
  type        = string
}

variable "image" {
  description = "Image to run, without the registry's host. Use a digest, because the remote repository may cache a tag for some time."
  type        = string
  default     = "team-a/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

variable "robot_secret_exists" {
  description = "Whether the robot's secret exists already: false in the first apply."
  type        = bool
  default     = false
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
}

resource "google_secret_manager_secret" "robot" {
  project   = var.project_id
  secret_id = "lading-robot"
  replication {
    auto {}
  }
}

# The service agent of Artifact Registry reads the secret.
data "google_project" "this" {
  project_id = var.project_id
}

resource "google_secret_manager_secret_iam_member" "robot" {
  project   = var.project_id
  secret_id = google_secret_manager_secret.robot.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
}

resource "google_artifact_registry_repository" "lading" {
  count = var.robot_secret_exists ? 1 : 0

  project       = var.project_id
  location      = "europe-west1"
  repository_id = "lading"
  description   = "What was pulled from ${module.lading.host}"
  format        = "DOCKER"
  mode          = "REMOTE_REPOSITORY"

  remote_repository_config {
    common_repository {
      uri = module.lading.url
    }
    upstream_credentials {
      username_password_credentials {
        username                = "robot+artifact-registry"
        password_secret_version = "${google_secret_manager_secret.robot.id}/versions/latest"
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.robot]
}

locals {
  pulled_from = one([for each in google_artifact_registry_repository.lading : "${each.location}-docker.pkg.dev/${var.project_id}/${each.repository_id}"])
}

resource "google_cloud_run_v2_service" "app" {
  count = var.robot_secret_exists ? 1 : 0

  project  = var.project_id
  location = "europe-west1"
  name     = "app"

  template {
    containers {
      image = "${local.pulled_from}/${var.image}"
    }
  }
}

output "image" {
  description = "Image for the Deployment in gke.yaml."
  value       = var.robot_secret_exists ? "${local.pulled_from}/${var.image}" : null
}
