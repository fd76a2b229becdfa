# Google services that the module uses. They stay enabled after a destroy, because other resources may use them.

locals {
  apis = [
    "artifactregistry.googleapis.com",     # stores the functions' images
    "cloudbuild.googleapis.com",           # builds the images
    "cloudfunctions.googleapis.com",       # deploys the functions
    "cloudresourcemanager.googleapis.com", # grants roles on the project
    "cloudscheduler.googleapis.com",       # calls collect, publish, scan and attest
    "firestore.googleapis.com",            # stores metadata
    "iam.googleapis.com",                  # manages service accounts and roles
    "iamcredentials.googleapis.com",       # signs URLs (signBlob)
    "monitoring.googleapis.com",           # uptime check, alerts, dashboard
    "pubsub.googleapis.com",               # events and notifications
    "run.googleapis.com",                  # runs the images
    "secretmanager.googleapis.com",        # stores the keys
    "storage.googleapis.com",              # stores layers
  ]
}

resource "google_project_service" "this" {
  for_each = setunion(
    local.apis,
    var.domain == "" ? [] : ["compute.googleapis.com"],                                                                         # load balancer
    var.events || var.scan ? ["eventarc.googleapis.com"] : [],                                                                  # calls publish, and scan
    local.attests ? ["binaryauthorization.googleapis.com", "cloudkms.googleapis.com", "containeranalysis.googleapis.com"] : [], # attestations
    var.events ? ["logging.googleapis.com"] : [],                                                                               # charts of what publish logs
    local.traces ? ["telemetry.googleapis.com"] : [],                                                                           # receives traces
  )

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

# Enabling a service returns before the service can be used. Resources that need a service depend on this.
resource "time_sleep" "apis" {
  create_duration = "60s"
  triggers        = { apis = join(" ", sort(keys(google_project_service.this))) }
  depends_on      = [google_project_service.this]
}
