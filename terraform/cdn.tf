# Cloud CDN for layers, where `cdn_key` is set: pulls are redirected to blobs.DOMAIN, and signed with the key.

locals {
  cdn       = nonsensitive(var.cdn_key != "")
  cdn_host  = "blobs.${var.domain}"
  cdn_name  = "lading"
  cdn_mount = "/secrets/cdn"
}

resource "google_compute_backend_bucket" "blobs" {
  count = local.cdn ? 1 : 0

  project     = var.project_id
  name        = "${var.name}-blobs"
  bucket_name = google_storage_bucket.blobs.name
  enable_cdn  = true

  # A layer never changes, and a URL without a good signature is answered 403, whatever is kept.
  cdn_policy {
    cache_mode                   = "FORCE_CACHE_ALL"
    default_ttl                  = 86400
    client_ttl                   = 86400
    signed_url_cache_max_age_sec = 86400
  }
}

resource "google_compute_backend_bucket_signed_url_key" "blobs" {
  count = local.cdn ? 1 : 0

  project        = var.project_id
  name           = local.cdn_name
  key_value      = var.cdn_key
  backend_bucket = google_compute_backend_bucket.blobs[0].name
}

# Where the registry reads the key: a file in its container.
resource "google_secret_manager_secret" "cdn" {
  count = local.cdn ? 1 : 0

  project   = var.project_id
  secret_id = "${var.name}-cdn"
  labels    = var.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_version" "cdn" {
  count = local.cdn ? 1 : 0

  secret                 = google_secret_manager_secret.cdn[0].id
  secret_data_wo         = "https://${local.cdn_host} ${local.cdn_name} ${var.cdn_key}"
  secret_data_wo_version = parseint(substr(sha256("${local.cdn_host} ${var.cdn_key}"), 0, 8), 16)

  # Instances that start read the latest; the one before is in use until the service has changed.
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_iam_policy" "cdn" {
  count = local.cdn ? 1 : 0

  project     = var.project_id
  secret_id   = google_secret_manager_secret.cdn[0].secret_id
  policy_data = data.google_iam_policy.keys.policy_data
}
