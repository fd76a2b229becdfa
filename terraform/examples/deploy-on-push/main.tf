# Deploys each image that is pushed to team-a/app:prod. The registry logs each push; a log sink sends these lines to a
# topic, and the topic triggers a build that deploys.

variable "project_id" {
  description = "Project to deploy into."
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
    "team-a/" = { readers = [google_service_account.deploy.member] }
  }
}

resource "google_pubsub_topic" "pushes" {
  project = var.project_id
  name    = "team-a-app-prod"
}

resource "google_logging_project_sink" "pushes" {
  project                = var.project_id
  name                   = "team-a-app-prod"
  destination            = "pubsub.googleapis.com/${google_pubsub_topic.pushes.id}"
  unique_writer_identity = true

  filter = <<-END
    resource.type="cloud_run_revision"
    resource.labels.service_name="${split("-", module.lading.host)[0]}"
    jsonPayload.audit.action="push"
    jsonPayload.audit.outcome="allowed"
    jsonPayload.audit.repository="team-a/app"
    jsonPayload.audit.reference="prod"
  END
}

# The log sink publishes to the topic.
resource "google_pubsub_topic_iam_member" "sink" {
  project = var.project_id
  topic   = google_pubsub_topic.pushes.name
  role    = "roles/pubsub.publisher"
  member  = google_logging_project_sink.pushes.writer_identity
}

resource "google_service_account" "deploy" {
  project      = var.project_id
  account_id   = "team-a-deploy"
  display_name = "Deploys team-a/app"
}

# Deploys the service, acts as the service's account, and writes a log.
resource "google_cloud_run_v2_service_iam_member" "deploy" {
  project  = var.project_id
  location = "europe-west1"
  name     = "app"
  role     = "roles/run.developer"
  member   = google_service_account.deploy.member
}

resource "google_service_account" "app" {
  project      = var.project_id
  account_id   = "team-a-app"
  display_name = "Runs team-a/app"
}

resource "google_service_account_iam_member" "deploy" {
  service_account_id = google_service_account.app.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deploy.member
}

resource "google_project_iam_member" "log" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.deploy.member
}

resource "google_cloudbuild_trigger" "deploy" {
  project         = var.project_id
  location        = "europe-west1"
  name            = "team-a-app-deploy"
  service_account = google_service_account.deploy.id

  pubsub_config {
    topic = google_pubsub_topic.pushes.id
  }

  # Through the remote repository of examples/cloud-run-and-gke, since Cloud Run pulls only from Google's own registries;
  # by digest, since that repository may cache a tag for some time.
  build {
    step {
      name       = "gcr.io/google.com/cloudsdktool/cloud-sdk:slim"
      entrypoint = "bash"
      args = ["-ec", <<-END
        digest=$$(printf 'user = "oauth2accesstoken:%s"' "$$(gcloud auth print-access-token)" |
          curl -sSfI -K - -H 'Accept: application/vnd.oci.image.index.v1+json' \
            -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
            -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
            -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
            ${module.lading.url}/v2/team-a/app/manifests/prod |
          tr -d '\r' | awk 'tolower($$1) == "docker-content-digest:" {print $$2}')
        gcloud run deploy app --region=europe-west1 --service-account=${google_service_account.app.email} \
          --image="europe-west1-docker.pkg.dev/${var.project_id}/lading/team-a/app@$$digest"
      END
      ]
    }
    options {
      logging = "CLOUD_LOGGING_ONLY"
    }
  }
}
