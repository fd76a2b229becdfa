# Deploys what is pushed: rules.json says which tag goes to which service of Cloud Run, Deployment in Kubernetes Engine or
# pipeline of Cloud Deploy. A function gets the registry's events from Pub/Sub and updates the targets to the digest. Its
# account has the permissions that the rules need, and no others. To check the rules without a cloud, run in function/:
#
#   python -m deployer ../rules.json HOST/team-a/app:prod
#
# Cloud Run pulls only from Google's own registries, so through a remote repository: see examples/cloud-run-and-gke. The
# targets must exist. For each cluster, apply rbac.yaml.

variable "project_id" {
  description = "Project to deploy into, which has the targets, too."
  type        = string
}

variable "runtime_accounts" {
  description = "Email addresses of the service accounts of the project that services of Cloud Run, and the jobs of Cloud Deploy, run as."
  type        = set(string)
  default     = []
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

locals {
  region = "europe-west1"

  rules     = jsondecode(file("${path.module}/rules.json"))
  services  = toset([for rule in local.rules.rules : rule.cloud_run.service if can(rule.cloud_run)])
  clusters  = toset([for rule in local.rules.rules : rule.gke.cluster if can(rule.gke)])
  pipelines = toset([for rule in local.rules.rules : rule.cloud_deploy.pipeline if can(rule.cloud_deploy)])

  # Remote repositories, as in europe-west1-docker.pkg.dev/PROJECT/NAME, of which the prefix of image names is the location.
  mirrors = {
    for prefix in values(try(local.rules.hosts, {})) : prefix => regex("^([a-z0-9-]+)-docker\\.pkg\\.dev/([^/]+)/([^/]+)", prefix)
    if can(regex("^([a-z0-9-]+)-docker\\.pkg\\.dev/([^/]+)/([^/]+)", prefix))
  }
}

resource "google_project_service" "targets" {
  for_each = toset(concat(
    length(local.clusters) > 0 ? ["container.googleapis.com"] : [],
    length(local.pipelines) > 0 ? ["clouddeploy.googleapis.com"] : [],
  ))

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

# --- permissions -----------------------------------------------------------------------------------------------------

resource "google_service_account" "deploy" {
  project      = var.project_id
  account_id   = "lading-deploy"
  display_name = "Deploys what is pushed to Lading"
}

resource "google_project_iam_custom_role" "cloud_run" {
  count = length(local.services) > 0 ? 1 : 0

  project = var.project_id
  role_id = "lading_deploy_cloud_run"
  title   = "Updates a service of Cloud Run"
  permissions = [
    "run.services.get",    # the annotation with the last sequence, the etag and the template
    "run.services.update", # the image
  ]
}

resource "google_cloud_run_v2_service_iam_member" "deploy" {
  for_each = local.services

  project  = split("/", each.value)[1]
  location = split("/", each.value)[3]
  name     = split("/", each.value)[5]
  role     = google_project_iam_custom_role.cloud_run[0].name
  member   = google_service_account.deploy.member
}

# A new revision runs as the service's account, and a release is rendered and deployed as the pipeline's.
resource "google_service_account_iam_member" "deploy" {
  for_each = var.runtime_accounts

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deploy.member
}

# Cloud Run checks that the deployer can read the image.
resource "google_artifact_registry_repository_iam_member" "deploy" {
  for_each = length(local.services) > 0 ? local.mirrors : {}

  location   = each.value[0]
  project    = each.value[1]
  repository = each.value[2]
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.deploy.member
}

resource "google_project_iam_custom_role" "gke" {
  count = length(local.clusters) > 0 ? 1 : 0

  project = var.project_id
  role_id = "lading_deploy_gke"
  title   = "Connects to clusters"
  permissions = [
    "container.clusters.connect", # by the DNS-based endpoint; what it may do there, rbac.yaml says
    "container.clusters.get",     # the endpoint and its certificate
  ]
}

resource "google_project_iam_custom_role" "cloud_deploy" {
  count = length(local.pipelines) > 0 ? 1 : 0

  project = var.project_id
  role_id = "lading_deploy_cloud_deploy"
  title   = "Creates releases"
  permissions = [
    "clouddeploy.releases.create", # the release
    "clouddeploy.releases.list",   # the annotation with the last sequence
    "clouddeploy.rollouts.create", # its rollout
  ]
}

# A custom role can be granted only in its own project.
resource "google_clouddeploy_delivery_pipeline_iam_member" "deploy" {
  for_each = local.pipelines

  project  = split("/", each.value)[1]
  location = split("/", each.value)[3]
  name     = split("/", each.value)[5]
  role     = google_project_iam_custom_role.cloud_deploy[0].name
  member   = google_service_account.deploy.member
}

# Operations belong to a location, which has no policy of its own.
resource "google_project_iam_custom_role" "cloud_deploy_operations" {
  count = length(local.pipelines) > 0 ? 1 : 0

  project = var.project_id
  role_id = "lading_deploy_cloud_deploy_operations"
  title   = "Reads the state of operations of Cloud Deploy"
  permissions = [
    "clouddeploy.operations.get", # whether a release exists yet
  ]
}

resource "google_project_iam_member" "deploy" {
  for_each = merge(
    { for role in google_project_iam_custom_role.gke : "gke" => role.name },
    { for role in google_project_iam_custom_role.cloud_deploy_operations : "cloud_deploy_operations" => role.name },
  )

  project = var.project_id
  role    = each.value
  member  = google_service_account.deploy.member
}

# --- function --------------------------------------------------------------------------------------------------------

locals {
  files = merge(
    { for name in fileset("${path.module}/function", "**/*.{py,txt}") : name => file("${path.module}/function/${name}") },
    { "rules.json" = file("${path.module}/rules.json") },
  )
  version = substr(sha256(jsonencode(local.files)), 0, 16)

  # Deployments that an instance runs at once: they wait for Google's APIs.
  concurrency = 20
}

data "archive_file" "deploy" {
  type        = "zip"
  output_path = "${path.root}/.terraform/deploy-${local.version}.zip"

  dynamic "source" {
    for_each = local.files
    content {
      filename = source.key
      content  = source.value
    }
  }
}

resource "google_storage_bucket" "source" {
  project                     = var.project_id
  name                        = "${var.project_id}-lading-deploy-source"
  location                    = local.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  soft_delete_policy {
    retention_duration_seconds = 0 # it can be rebuilt
  }
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${module.lading.service_accounts.build}"
}

resource "google_storage_bucket_object" "deploy" {
  bucket = google_storage_bucket.source.name
  name   = "deploy-${local.version}.zip"
  source = data.archive_file.deploy.output_path
}

resource "google_cloudfunctions2_function" "deploy" {
  project     = var.project_id
  location    = local.region
  name        = "lading-deploy"
  description = "Deploys what is pushed to Lading"

  # The registry's account for builds, and its repository of images, for which that account has the permissions.
  build_config {
    runtime           = "python311"
    entry_point       = "deploy"
    service_account   = "projects/${var.project_id}/serviceAccounts/${module.lading.service_accounts.build}"
    docker_repository = "projects/${var.project_id}/locations/${local.region}/repositories/lading-functions"

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.deploy.name
      }
    }
  }

  service_config {
    service_account_email = google_service_account.deploy.email
    ingress_settings      = "ALLOW_INTERNAL_ONLY" # Pub/Sub in the same project counts as internal
    timeout_seconds       = 120

    # A request above these limits is refused with 429, which counts as an attempt to deliver the event: see "Bursts" in
    # docs/deployments.md. Less than one CPU allows one request at a time.
    max_instance_count               = 10
    max_instance_request_concurrency = local.concurrency
    available_cpu                    = "1"
    available_memory                 = "512Mi"
    environment_variables            = { THREADS = tostring(local.concurrency) } # of the Functions Framework
  }

  depends_on = [module.lading, google_storage_bucket_iam_member.build]
}

# --- events ----------------------------------------------------------------------------------------------------------

# Cloud Run accepts only this account's token, which Pub/Sub sends.
resource "google_service_account" "push" {
  project      = var.project_id
  account_id   = "lading-deploy-push"
  display_name = "Calls the function lading-deploy"
}

resource "google_cloud_run_v2_service_iam_binding" "deploy" {
  project  = var.project_id
  location = local.region
  name     = google_cloudfunctions2_function.deploy.name
  role     = "roles/run.invoker"
  members  = [google_service_account.push.member]
}

# A trigger of Eventarc would have a subscription without an order and without dead letters.
resource "google_pubsub_subscription" "deploy" {
  project                 = var.project_id
  name                    = "lading-deploy"
  topic                   = module.lading.events_topic
  filter                  = "attributes.type = \"dev.lading.tag.moved.v1\""
  enable_message_ordering = true # of one repository: a tag's former digest is never deployed after a later one
  ack_deadline_seconds    = 180  # longer than the function's timeout

  push_config {
    push_endpoint = google_cloudfunctions2_function.deploy.service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.push.email
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = module.lading.dead_letter_topic
    max_delivery_attempts = 20 # about two hours, for which the later events of the repository wait
  }
  expiration_policy {
    ttl = "" # not after 31 days without an event
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.deploy]
}

# Pub/Sub itself takes dead letters out of the subscription. The module lets it publish them.
resource "google_pubsub_subscription_iam_member" "dead" {
  project      = var.project_id
  subscription = google_pubsub_subscription.deploy.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${google_storage_bucket.source.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

output "account" {
  description = "Service account of the function, for rbac.yaml."
  value       = google_service_account.deploy.email
}
