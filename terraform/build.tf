# What builds the functions' images, and where those are kept.

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "${var.name}-build"
  display_name = "Builds the functions of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "The functions of ${var.name}, as Cloud Build makes them"
  format        = "DOCKER"
  labels        = var.labels
  kms_key_name  = local.kms.images == "" ? null : local.kms.images

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s" # 30 days: what a revision runs is among the newest
    }
  }

  # Artifact Registry takes a key when it makes a repository, and never again: another would be one without the image that
  # runs.
  lifecycle {
    ignore_changes = [kms_key_name]

    postcondition {
      condition     = local.kms.images == "" || self.kms_key_name == local.kms.images
      error_message = "The repository ${self.repository_id} was made without this key, or with another, and Artifact Registry cannot change it. Leave it as it is, with kms_keys = { images = \"\" } or the key that it has."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# Pushes the image, and its cache.
resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# Writes the build's log.
resource "google_project_iam_member" "build_log" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# Reads the source, from the bucket to which Cloud Functions copy it, and from no other. The slash ends the name: without
# it, a bucket of any project whose name only begins like that one would be read, too.
resource "google_project_iam_member" "build_source" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title      = "copies-of-functions-source"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${local.project_number}-${var.region}/\")"
  }
}

# Reads the source from where the module put it.
resource "google_storage_bucket_iam_member" "build_source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}
