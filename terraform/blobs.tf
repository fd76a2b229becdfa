# The bucket of layers. Nobody but the functions touches it: a right on it would go around the registry.

resource "google_storage_bucket" "blobs" {
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-blobs"
  location                    = coalesce(var.blob_location, var.region)
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  labels                      = var.labels

  dynamic "custom_placement_config" {
    for_each = length(var.blob_dual_region) == 0 ? [] : [var.blob_dual_region]
    content {
      data_locations = custom_placement_config.value
    }
  }

  dynamic "encryption" {
    for_each = compact([local.kms["layers"]])
    content {
      default_kms_key_name = encryption.value
    }
  }

  # What was deleted by mistake, with whatever rights, can be brought back.
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  # Which layers live is the registry's to know, so no rule here deletes one by its age. What the code leaves behind is
  # whole objects; this is for uploads of other programs.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.blobs]
}

# The whole policy: a new bucket otherwise gives rights to the project's editors and viewers.
resource "google_storage_bucket_iam_policy" "blobs" {
  bucket      = google_storage_bucket.blobs.name
  policy_data = data.google_iam_policy.blobs.policy_data
}

data "google_iam_policy" "blobs" {
  binding {
    role    = google_project_iam_custom_role.blobs.name
    members = [google_service_account.registry.member]
  }
  binding {
    role    = google_project_iam_custom_role.garbage.name
    members = [google_service_account.collect.member]
  }
  # Cloud CDN fills itself. Google makes this account with the first key of a signed URL.
  dynamic "binding" {
    for_each = google_compute_backend_bucket_signed_url_key.blobs
    content {
      role    = "roles/storage.objectViewer"
      members = ["serviceAccount:service-${local.project_number}@cloud-cdn-fill.iam.gserviceaccount.com"]
    }
  }
  binding {
    role    = "roles/storage.legacyBucketOwner"
    members = local.owners
  }
}
