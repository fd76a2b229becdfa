# Tests each image that is tagged team-a/app:candidate, in Cloud Build, and tags it `tested` if it passes. Cloud Build
# subscribes to the registry's events by itself; its subscription keeps no order, so a build works with the digest of its
# event, and never with the tag.

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
    "team-a/" = { writers = [google_service_account.build.member] }
  }
}

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "team-a-test"
  display_name = "Tests the images of team-a"
}

# Writes the build's log. It needs no role on the project to pull and push: the managed folder team-a/ grants that.
resource "google_project_iam_member" "log" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

resource "google_cloudbuild_trigger" "candidate" {
  project         = var.project_id
  location        = "europe-west1"
  name            = "team-a-app-candidate"
  service_account = google_service_account.build.id

  pubsub_config {
    topic = module.lading.events_topic
  }

  # Of the CloudEvent in the message. Each event has a type and a subject; only one of a tag has a tag in its `data`.
  substitutions = {
    _TYPE    = "$(body.message.data.type)"
    _SUBJECT = "$(body.message.data.subject)"
    _DIGEST  = "$(body.message.data.data.digest)"
  }

  filter = "_TYPE == \"dev.lading.tag.moved.v1\" && _SUBJECT == \"team-a/app:candidate\""

  build {
    step {
      name       = "gcr.io/cloud-builders/gcloud"
      entrypoint = "bash"
      args       = ["-c", "gcloud auth print-access-token > /token/token"]
      volumes {
        name = "token"
        path = "/token"
      }
    }
    step {
      name       = "gcr.io/cloud-builders/docker"
      entrypoint = "bash"
      env        = ["REPOSITORY=${module.lading.host}/team-a/app", "DIGEST=$_DIGEST"]
      args = ["-ec", <<-END
        docker login --username oauth2accesstoken --password-stdin "https://$${REPOSITORY%%/*}" < /token/token
        docker pull "$$REPOSITORY@$$DIGEST"
        docker run --rm "$$REPOSITORY@$$DIGEST" /app/test
        docker tag "$$REPOSITORY@$$DIGEST" "$$REPOSITORY:tested"
        docker push "$$REPOSITORY:tested"
      END
      ]
      volumes {
        name = "token"
        path = "/token"
      }
    }
    options {
      logging = "CLOUD_LOGGING_ONLY"
    }
  }
}
