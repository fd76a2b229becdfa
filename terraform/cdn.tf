# Cloud CDN for layers, if `cdn_key` is set: pulls are redirected to signed URLs of blobs.DOMAIN.

locals {
  cdn       = nonsensitive(var.cdn_key != "")
  cdn_host  = "blobs.${var.domain}"
  cdn_name  = "lading-${nonsensitive(substr(sha256(var.cdn_key), 0, 8))}" # a new key has a new name
  cdn_mount = "/secrets/cdn"
}

resource "google_compute_backend_bucket" "blobs" {
  count = local.cdn ? 1 : 0

  project     = var.project_id
  name        = "${var.name}-blobs"
  bucket_name = google_storage_bucket.blobs.name
  enable_cdn  = true

  edge_security_policy = one(google_compute_security_policy.edge[*].id)

  # Layers are immutable, and a URL without a valid signature gets 403, even for a cached layer.
  cdn_policy {
    cache_mode                   = "FORCE_CACHE_ALL"
    default_ttl                  = 86400
    client_ttl                   = 86400
    signed_url_cache_max_age_sec = 86400
  }
}

# The load balancer's policy protects only the service. This edge policy protects the cache, so that a leaked signed URL
# works only from the allowed ranges. Edge policies do not support rate limits.
resource "google_compute_security_policy" "edge" {
  count = local.cdn && length(try(var.armor.allowed_ranges, [])) > 0 ? 1 : 0

  project     = var.project_id
  name        = "${var.name}-edge"
  description = "Access to ${local.cdn_host}"
  type        = "CLOUD_ARMOR_EDGE"

  rule {
    priority    = 2000
    action      = "allow"
    description = "Allowed ranges"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = var.armor.allowed_ranges
      }
    }
  }

  rule {
    priority    = 2147483647
    action      = "deny(403)"
    description = "All other addresses"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  # The backend bucket must release it first.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [time_sleep.apis]
}

resource "google_compute_backend_bucket_signed_url_key" "blobs" {
  count = local.cdn ? 1 : 0

  project        = var.project_id
  name           = local.cdn_name
  key_value      = var.cdn_key
  backend_bucket = google_compute_backend_bucket.blobs[0].name

  # The previous key is removed once all regions sign with this one. Cloud CDN supports three keys at a time.
  lifecycle {
    create_before_destroy = true
  }
}

# The key as a file in the registry's container.
resource "google_secret_manager_secret" "cdn" {
  count = local.cdn ? 1 : 0

  project   = var.project_id
  secret_id = "${var.name}-cdn"
  labels    = var.labels

  # See keys.tf.
  replication {
    user_managed {
      dynamic "replicas" {
        for_each = local.replicas
        content {
          location = replicas.value

          dynamic "customer_managed_encryption" {
            for_each = compact([local.kms.secrets])
            content {
              kms_key_name = customer_managed_encryption.value
            }
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [replication]

    postcondition {
      condition     = local.kms.secrets == "" || try(self.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name, "") == local.kms.secrets
      error_message = "The secret ${self.secret_id} was created without this key, and Secret Manager cannot change it. Keep it unchanged: set kms_keys = { secrets = \"\" } or its current key."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

resource "google_secret_manager_secret_version" "cdn" {
  count = local.cdn ? 1 : 0

  secret                 = google_secret_manager_secret.cdn[0].id
  secret_data_wo         = "https://${local.cdn_host} ${google_compute_backend_bucket_signed_url_key.blobs[0].name} ${var.cdn_key}"
  secret_data_wo_version = parseint(substr(sha256("${local.cdn_host} ${var.cdn_key}"), 0, 8), 16)

  # New instances read the latest version; the previous one is in use until the service has been updated.
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
