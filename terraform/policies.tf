# Access control by Google IAM: a bucket that stays empty, with a managed folder for each prefix of repositories. With the
# caller's token, the registry tests the caller's permissions on objects in the folder: get is pull, create is push, delete
# is delete. The registry itself needs no permission here.

resource "google_storage_bucket" "policies" {
  count = var.access == "folders" ? 1 : 0

  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-policies"
  location                    = coalesce(var.blob_location, var.region)
  uniform_bucket_level_access = true # required for managed folders
  public_access_prevention    = "enforced"
  force_destroy               = true # contains no data
  labels                      = var.labels

  dynamic "encryption" {
    for_each = compact([local.kms.layers]) # contains no data, but some organizations require a key for every bucket
    content {
      default_kms_key_name = encryption.value
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Principals that may push can also create objects here, at the project's cost; this rule deletes them within about a day.
  # A custom role with permissions that have no effect here would prevent that, but then manual grants of Cloud Storage's
  # predefined roles would have no effect, and it is not documented which other permissions Google tests for a managed folder.
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

# Authoritative policy: by default, a new bucket lets the project's editors push, and its viewers pull, everywhere.
resource "google_storage_bucket_iam_policy" "policies" {
  count = var.access == "folders" ? 1 : 0

  bucket      = google_storage_bucket.policies[0].name
  policy_data = data.google_iam_policy.policies.policy_data
}

# Owners of the project have full access to all repositories. Google's projectOwner includes only owners of the project
# itself, and not those of its folder or organization, who must be named.
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
