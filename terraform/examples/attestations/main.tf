# Binary Authorization: GKE and Cloud Run deploy only images that passed the policies of the registry (docs/attestations.md).
# Not proved against real Google Cloud.
#
# The policy is that of the whole project. Begin with a dry run, which only logs what would be refused:
#
#   terraform apply -var project_id=PROJECT
#   terraform apply -var project_id=PROJECT -var enforce=true
#
# A cluster has to use it: gcloud container clusters update CLUSTER --binauthz-evaluation-mode=PROJECT_SINGLETON_POLICY_ENFORCE

variable "project_id" {
  description = "Project to deploy into, which has the clusters and services, too."
  type        = string
}

variable "enforce" {
  description = "Whether images without an attestation are refused, or only logged."
  type        = bool
  default     = false
}

variable "clusters" {
  description = "Clusters of GKE, as LOCATION.NAME, that run images of the registry alone."
  type        = set(string)
  default     = ["europe-west1.prod"]
}

variable "image" {
  description = "Image of the service of Cloud Run, by its digest, or \"\" for no service: one of a repository of Artifact Registry (see examples/cloud-run-and-gke). Its attestation is that of the same digest in the registry."
  type        = string
  default     = ""
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
  attest     = { repositories = ["prod/*"] }
}

# Destroyed, it becomes Google's default again, which admits everything.
resource "google_binary_authorization_policy" "this" {
  project                       = var.project_id
  description                   = "Images that pass the policies of ${module.lading.host}"
  global_policy_evaluation_mode = "ENABLE" # Google's own system images

  # All other clusters, and Cloud Run.
  default_admission_rule {
    evaluation_mode         = "REQUIRE_ATTESTATION"
    enforcement_mode        = var.enforce ? "ENFORCED_BLOCK_AND_AUDIT_LOG" : "DRYRUN_AUDIT_LOG_ONLY"
    require_attestations_by = [module.lading.attestor]
  }

  dynamic "cluster_admission_rules" {
    for_each = var.clusters
    content {
      cluster                 = cluster_admission_rules.value
      evaluation_mode         = "REQUIRE_ATTESTATION"
      enforcement_mode        = var.enforce ? "ENFORCED_BLOCK_AND_AUDIT_LOG" : "DRYRUN_AUDIT_LOG_ONLY"
      require_attestations_by = [module.lading.attestor]
    }
  }

  # The registry's own images, which Cloud Functions build: nothing attests them, and their updates must not be refused.
  admission_whitelist_patterns {
    name_pattern = "europe-west1-docker.pkg.dev/${var.project_id}/lading-functions/**"
  }
}

resource "google_cloud_run_v2_service" "app" {
  count = var.image == "" ? 0 : 1

  project  = var.project_id
  location = "europe-west1"
  name     = "app"

  binary_authorization {
    use_default = true
  }

  template {
    containers {
      image = var.image
    }
  }

  depends_on = [google_binary_authorization_policy.this]
}
