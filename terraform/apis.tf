# The services of Google that the module uses. They stay enabled when it is destroyed: others may use them by then.

locals {
  apis = [
    "artifactregistry.googleapis.com",     # keeps the functions' images
    "cloudbuild.googleapis.com",           # builds them
    "cloudfunctions.googleapis.com",       # deploys them
    "cloudresourcemanager.googleapis.com", # grants roles on the project
    "cloudscheduler.googleapis.com",       # calls collect
    "firestore.googleapis.com",            # keeps names
    "iam.googleapis.com",                  # keeps service accounts and roles
    "iamcredentials.googleapis.com",       # signs URLs (signBlob)
    "monitoring.googleapis.com",           # watches
    "pubsub.googleapis.com",               # tells of pushes
    "run.googleapis.com",                  # runs the images
    "secretmanager.googleapis.com",        # keeps the keys
    "storage.googleapis.com",              # keeps layers
  ]
}

resource "google_project_service" "this" {
  for_each = setunion(local.apis, var.domain == "" ? [] : ["compute.googleapis.com"]) # that balances load

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

# Enabling returns before the service can be used. What needs one depends on this.
resource "time_sleep" "apis" {
  create_duration = "60s"
  triggers        = { apis = join(" ", sort(keys(google_project_service.this))) }
  depends_on      = [google_project_service.this]
}
