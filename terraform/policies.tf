# Who may do what, as Google IAM has it: a bucket that stays empty, with a managed folder for each prefix of repositories.
# The registry asks Cloud Storage, with the caller's own token, what the caller may do with objects in the folder: get is
# pull, create is push, delete is delete. The registry itself needs no right here.

resource "google_storage_bucket" "policies" {
  count = var.access == "folders" ? 1 : 0

  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-policies"
  location                    = coalesce(var.blob_location, var.region)
  uniform_bucket_level_access = true # managed folders want it
  public_access_prevention    = "enforced"
  force_destroy               = true # it holds nothing
  labels                      = var.labels

  dynamic "encryption" {
    for_each = compact([local.kms.layers]) # nothing is kept here, but some organisations ask for a key of every bucket
    content {
      default_kms_key_name = encryption.value
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Whoever may push may also store objects here, at the project's cost. They go within a day or so. A role of our own with
  # permissions that have no effect here would keep them out, but then rights that are granted by hand, by Cloud Storage's
  # own roles, would no longer count; and nobody knows which further permissions Google tests for a managed folder.
  lifecycle_rule {
    condition {
      age              = 0
      send_age_if_zero = true
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.blobs]
}

# The whole policy: a new bucket otherwise lets the project's editors push everywhere, and its viewers pull.
resource "google_storage_bucket_iam_policy" "policies" {
  count = var.access == "folders" ? 1 : 0

  bucket      = google_storage_bucket.policies[0].name
  policy_data = data.google_iam_policy.policies.policy_data
}

# Who owns the project may do everything, in all repositories. Google's projectOwner means only those who are owners of the
# project itself, and not those of its folders or its organisation: these are named.
locals {
  owners = concat(["projectOwner:${var.project_id}"], var.owners)
}

data "google_iam_policy" "policies" {
  binding {
    role    = "roles/storage.admin"
    members = local.owners
  }
}

resource "google_storage_managed_folder" "repositories" {
  for_each = var.access == "folders" ? var.repositories : {}

  bucket        = google_storage_bucket.policies[0].name
  name          = each.key
  force_destroy = true
}

resource "google_storage_managed_folder_iam_policy" "repositories" {
  for_each = google_storage_managed_folder.repositories

  bucket         = each.value.bucket
  managed_folder = each.value.name
  policy_data    = data.google_iam_policy.repositories[each.key].policy_data
}

data "google_iam_policy" "repositories" {
  for_each = var.repositories

  dynamic "binding" {
    for_each = {
      for role, members in {
        "roles/storage.objectViewer"  = setunion(each.value.readers, each.value.writers)
        "roles/storage.objectCreator" = each.value.writers
        "roles/storage.objectUser"    = each.value.admins
      } : role => members if length(members) > 0
    }
    content {
      role    = binding.key
      members = binding.value
    }
  }
}
