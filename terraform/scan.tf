# Scans of images: what calls the function `scan`, which has no rights to any store.
#
#   push -> document repositories/{name}/facts/{digest} -> Eventarc -> scan -> the registry, over HTTP: claims, layers, results
#                                             Cloud Scheduler ^         \-> OSV's public bucket, once a day
#
# The trigger only wakes the function up: the registry knows which images are due, and lets the function's account do nothing but
# scan. While nothing is pushed, all of this costs the sweeps, at most $0.80 a month beyond what Google gives for free.

# The registry reads this account's address in its settings, and verifies its ID tokens: it has no role anywhere.
resource "google_service_account" "scan" {
  count = var.scan ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-scan"
  display_name = "Scans the images of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_cloudfunctions2_function" "scan" {
  count = var.scan ? 1 : 0

  project     = var.project_id
  location    = var.region
  name        = "${var.name}-scan"
  description = "Scans images, when Eventarc or Cloud Scheduler says so"
  labels      = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "scan"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source["scan"].name
      }
    }

    on_deploy_update_policy {}
  }

  # One image at a time, since the process that reads layers may take 512 MiB. A call beyond the instances is refused, and Eventarc
  # sends it again; the calls before it have scanned its image by then.
  service_config {
    service_account_email            = google_service_account.scan[0].email
    environment_variables            = local.variables["scan"]
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Eventarc and Cloud Scheduler in the same project count as internal
    available_cpu                    = "1"
    available_memory                 = var.scan_memory
    max_instance_request_concurrency = 1
    max_instance_count               = 3
    timeout_seconds                  = local.scan_deadline
  }

  depends_on = [terraform_data.rights]
}

# Cloud Run authenticates Eventarc and the scheduler by this account's token, and refuses all other callers.
resource "google_cloud_run_v2_service_iam_binding" "scan" {
  count = var.scan ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.scan[0].name
  role     = "roles/run.invoker"
  members  = [google_service_account.scheduler.member]
}

# Receives what Google's services send. Eventarc grants it on projects only.
resource "google_project_iam_member" "scan_event_receiver" {
  count = var.scan ? 1 : 0

  project = var.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.scheduler.member
}

# The first push of an image creates the facts about it; later changes of them are no event.
resource "google_eventarc_trigger" "scan" {
  count = var.scan ? 1 : 0

  project  = var.project_id
  name     = "${var.name}-scan"
  labels   = var.labels
  location = google_firestore_database.this.location_id # see google_eventarc_trigger.publish

  service_account         = google_service_account.scheduler.email
  event_data_content_type = "application/protobuf"

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.firestore.document.v1.created"
  }
  matching_criteria {
    attribute = "database"
    value     = google_firestore_database.this.name
  }
  matching_criteria {
    attribute = "document"
    operator  = "match-path-pattern"
    value     = "repositories/{name}/facts/{digest}"
  }

  destination {
    cloud_run_service {
      service = google_cloudfunctions2_function.scan[0].name
      region  = var.region
    }
  }

  lifecycle {
    replace_triggered_by = [google_firestore_database.this.uid]
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.scan, google_project_iam_member.scan_event_receiver]
}

# The sweep: scans what a lost call of the trigger has left, compares images with newer data, and updates the data.
resource "google_cloud_scheduler_job" "scan" {
  count = var.scan ? 1 : 0

  project          = var.project_id
  region           = var.region
  name             = "${var.name}-scan"
  description      = "Scans the images of ${var.name} that are due"
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.scan_deadline}s" # and no retries: the next sweep is soon enough

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.scan[0].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = google_cloudfunctions2_function.scan[0].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.scan]
}

locals {
  # Seconds: a run claims images for five minutes, and the last one may take ten more.
  scan_deadline = 960

  of_scan       = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-scan\""
  of_scan_sweep = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-scan\""
}

resource "google_monitoring_alert_policy" "not_scanning" {
  count = var.scan ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: images are not scanned"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "A scan has failed for good, data about vulnerabilities cannot be updated, or the sweep fails"
    condition_matched_log {
      filter = "(${local.of_scan} AND (jsonPayload.scan.scans.failed>0 OR jsonPayload.vulnerabilities.data.failed>0)) OR (${local.of_scan_sweep} AND severity>=ERROR)"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    content = "An image whose scan failed has no findings, and is never shown as clean: `lading scan NAME` has the reason, and `lading scan NAME --again` repeats it. The log of ${var.name}-scan has the cause of all else."
  }

  depends_on = [time_sleep.apis]
}
