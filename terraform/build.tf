# Build of the functions' images, and the repository that stores them.

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
  description   = "Images of the functions of ${var.name}, built by Cloud Build"
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
      older_than = "2592000s" # 30 days: the images of revisions in use are among the newest
    }
  }

  # Artifact Registry sets the key at creation only: changing it would replace the repository, without the images in use.
  lifecycle {
    ignore_changes = [kms_key_name]

    postcondition {
      condition     = local.kms.images == "" || self.kms_key_name == local.kms.images
      error_message = "The repository ${self.repository_id} was created without this key, and Artifact Registry cannot change it. Keep it unchanged: set kms_keys = { images = \"\" } or its current key."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# Pushes the image and its build cache.
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

# Reads the source only from the bucket to which Cloud Functions copy it. The slash ends the bucket's name: without it, the
# condition would match buckets of any project whose names start with that name.
resource "google_project_iam_member" "build_source" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title      = "copies-of-functions-source"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${local.project_number}-${var.region}/\")"
  }
}

# Reads the source from the module's own bucket.
resource "google_storage_bucket_iam_member" "build_source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}
