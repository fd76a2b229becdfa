# Custom domain, if `domain` is set: an HTTPS load balancer in front of the service in all its regions.

locals {
  domains  = concat([var.domain], local.cdn ? [local.cdn_host] : [])
  balanced = var.domain == "" ? [] : tolist(setunion([var.region], var.more_regions))
}

resource "google_compute_global_address" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project    = var.project_id
  name       = var.name
  depends_on = [time_sleep.apis]
}

resource "google_compute_region_network_endpoint_group" "this" {
  for_each = toset(local.balanced)

  project               = var.project_id
  region                = each.key
  name                  = var.name
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.http2 ? google_cloud_run_v2_service.registry[each.key].name : google_cloudfunctions2_function.registry.name
  }
}

resource "google_compute_backend_service" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project               = var.project_id
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = one(google_compute_security_policy.this[*].id)

  dynamic "backend" {
    for_each = google_compute_region_network_endpoint_group.this
    content {
      group = backend.value.id
    }
  }

  # Outlier detection: a region whose instances fail is ejected for some time.
  dynamic "outlier_detection" {
    for_each = length(local.balanced) > 1 ? [1] : []
    content {
      consecutive_errors           = 5
      enforcing_consecutive_errors = 100 # percent of detected outliers; without it none is ejected
      base_ejection_time {
        seconds = 30
      }
    }
  }
}

resource "google_compute_url_map" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project         = var.project_id
  name            = var.name
  default_service = google_compute_backend_service.this[0].id

  dynamic "host_rule" {
    for_each = google_compute_backend_bucket.blobs
    content {
      hosts        = [local.cdn_host]
      path_matcher = "blobs"
    }
  }

  dynamic "path_matcher" {
    for_each = google_compute_backend_bucket.blobs
    content {
      name            = "blobs"
      default_service = path_matcher.value.id
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project = var.project_id
  name    = "${var.name}-${substr(sha256(join(" ", local.domains)), 0, 8)}"

  managed {
    domains = local.domains
  }

  # A new domain needs a new certificate, which must exist before the proxy releases the old one.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [time_sleep.apis]
}

resource "google_compute_ssl_policy" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project         = var.project_id
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [time_sleep.apis]
}

resource "google_compute_target_https_proxy" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project          = var.project_id
  name             = var.name
  url_map          = google_compute_url_map.this[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.this[0].id]
  ssl_policy       = google_compute_ssl_policy.this[0].id
}

# Port 443 only: a registry is not served without TLS.
resource "google_compute_global_forwarding_rule" "this" {
  count = length(local.balanced) == 0 ? 0 : 1

  project               = var.project_id
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this[0].id
}

resource "google_compute_security_policy" "this" {
  count = var.armor == null ? 0 : 1

  project     = var.project_id
  name        = var.name
  description = "Access to ${var.domain}, and its rate limit"

  dynamic "rule" {
    for_each = var.armor.requests_per_minute == 0 ? [] : [var.armor.requests_per_minute]
    content {
      priority    = 1000
      action      = "throttle"
      description = "Rate limit for each address"
      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = length(var.armor.allowed_ranges) == 0 ? ["*"] : var.armor.allowed_ranges
        }
      }
      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"
        rate_limit_threshold {
          count        = rule.value
          interval_sec = 60
        }
      }
    }
  }

  dynamic "rule" {
    for_each = length(var.armor.allowed_ranges) == 0 ? [] : [var.armor.allowed_ranges]
    content {
      priority    = 2000
      action      = "allow"
      description = "Allowed ranges"
      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  rule {
    priority    = 2147483647
    action      = length(var.armor.allowed_ranges) == 0 ? "allow" : "deny(403)"
    description = "All other addresses"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [time_sleep.apis]
}
