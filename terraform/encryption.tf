# Whose keys encrypt what is stored: Google's own, or `kms_key`, or another of `kms_keys` for a store.

locals {
  stores = {
    layers        = { location = lower(coalesce(var.blob_location, var.region)), agent = "" }
    source        = { location = var.region, agent = "" }
    names         = { location = lower(coalesce(var.firestore_location, var.region)), agent = "gcp-sa-firestore" }
    secrets       = { location = var.region, agent = "gcp-sa-secretmanager" }
    images        = { location = var.region, agent = "gcp-sa-artifactregistry" }
    notifications = { location = "", agent = "gcp-sa-pubsub" } # a topic takes a key of any location
  }

  kms = { for store in keys(local.stores) : store => lookup(var.kms_keys, store, var.kms_key) }
}

# Cloud Storage itself encrypts with the key.
resource "google_kms_crypto_key_iam_member" "blobs" {
  count = local.kms.layers == "" ? 0 : 1

  crypto_key_id = local.kms.layers
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this[0].member
}

# One grant for a key: with two of them, the first to go would take the other along.
resource "google_kms_crypto_key_iam_member" "source" {
  count = contains(["", local.kms.layers], local.kms.source) ? 0 : 1

  crypto_key_id = local.kms.source
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this[0].member
}

# It depends on nothing: read only in an apply, its member would be unknown to the plan, and the grants would be replaced.
data "google_storage_project_service_account" "this" {
  count = local.kms.layers == "" && local.kms.source == "" ? 0 : 1

  project = var.project_id
}

# So do other services, by accounts that come into being by a command that README tells.
resource "google_kms_crypto_key_iam_member" "services" {
  for_each = { for store, key in local.kms : store => key if key != "" && local.stores[store].agent != "" }

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${local.project_number}@${local.stores[each.key].agent}.iam.gserviceaccount.com"
}
