# Encryption keys of the stores: Google's own, `kms_key`, or the key in `kms_keys` for a store.

locals {
  stores = {
    layers        = { location = lower(coalesce(var.blob_location, var.region)), agent = "" }
    source        = { location = var.region, agent = "" }
    names         = { location = lower(coalesce(var.firestore_location, var.region)), agent = "gcp-sa-firestore" }
    secrets       = { location = var.region, agent = "gcp-sa-secretmanager" }
    images        = { location = var.region, agent = "gcp-sa-artifactregistry" }
    notifications = { location = "", agent = "gcp-sa-pubsub" } # a topic accepts a key of any location
  }

  kms = { for store in keys(local.stores) : store => lookup(var.kms_keys, store, var.kms_key) }
}

# The service agent of Cloud Storage uses the key.
resource "google_kms_crypto_key_iam_member" "blobs" {
  count = local.kms.layers == "" ? 0 : 1

  crypto_key_id = local.kms.layers
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this[0].member
}

# One grant per key: of two grants for the same key, the removal of the first would remove the second as well.
resource "google_kms_crypto_key_iam_member" "source" {
  count = contains(["", local.kms.layers], local.kms.source) ? 0 : 1

  crypto_key_id = local.kms.source
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this[0].member
}

# No dependencies: if it were read during the apply only, its member would be unknown in the plan, and grants would be replaced.
data "google_storage_project_service_account" "this" {
  count = local.kms.layers == "" && local.kms.source == "" ? 0 : 1

  project = var.project_id
}

# Other services do the same with service agents that a command in README.md of this folder creates.
resource "google_kms_crypto_key_iam_member" "services" {
  for_each = { for store, key in local.kms : store => key if key != "" && local.stores[store].agent != "" }

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${local.project_number}@${local.stores[each.key].agent}.iam.gserviceaccount.com"
}
