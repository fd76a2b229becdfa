# Bucket of layers. Only the functions have access: any other grant would bypass the registry's access control.

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

  # Objects deleted by mistake, with whatever permissions, can be restored.
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  # No rule deletes layers by age, because only the registry knows which layers are referenced. The code itself leaves no
  # incomplete multipart uploads; this rule is for those of other programs.
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

# Authoritative policy: by default, a new bucket grants access to the project's editors and viewers.
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
  # The cache fill account of Cloud CDN, which Google creates with the first key for signed URLs.
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
