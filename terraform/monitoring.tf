# Monitoring: whether the registry is reachable, how often requests fail, whether garbage collection succeeds, and whether
# events arrive.

locals {
  # `allowed_ranges` would have to include the address ranges of Cloud Monitoring.
  uptime_check = var.uptime_check && try(length(var.armor.allowed_ranges), 0) == 0

  of_registry = "resource.type=\"cloud_run_revision\" AND resource.label.service_name=\"${local.service}\""
  of_collect  = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.collect.name}\""
  of_publish  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-publish\""
  of_sweep    = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-publish\""

  # What the log line of a run of `publish` has. A number that is 0 may be missing: those of deliveries always are.
  publish_metrics = { for name, metric in {
    events-waiting        = { field = "jsonPayload.publish.waiting", unit = "1", title = "Events that wait" }
    events-oldest-seconds = { field = "jsonPayload.publish.oldest_seconds", unit = "s", title = "Age of the oldest event that waits (s)" }
    events-published      = { field = "jsonPayload.publish.published", unit = "1", title = "Events published by a run" }
    deliveries-delivered  = { field = "jsonPayload.publish.deliveries.delivered", unit = "1", title = "Deliveries that webhooks accepted in a run" }
    deliveries-failed     = { field = "jsonPayload.publish.deliveries.failed", unit = "1", title = "Deliveries that failed in a run, and will be attempted again" }
    deliveries-dead       = { field = "jsonPayload.publish.deliveries.dead", unit = "1", title = "Deliveries to webhooks that a run gave up" }
  } : name => metric if var.events }
}

resource "google_monitoring_uptime_check_config" "registry" {
  count = local.uptime_check ? 1 : 0

  project          = var.project_id
  display_name     = "${var.name}: the registry responds"
  timeout          = "30s" # long enough for a cold start
  period           = "900s"
  selected_regions = ["EUROPE", "USA_OREGON", "ASIA_PACIFIC"]

  http_check {
    path         = "/v2/"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    # An unauthenticated request gets a challenge if the registry is running.
    accepted_response_status_codes {
      status_value = 401
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = local.host
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_alert_policy" "unreachable" {
  count = local.uptime_check ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: the registry does not respond"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "No response on two of three continents"
    condition_threshold {
      filter          = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.label.check_id=\"${google_monitoring_uptime_check_config.registry[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "0s"
      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    content = "Run `lading doctor --url https://${local.host}`: it reports the cause. https://${local.host}/v2/ returns 401 if the registry works."
  }
}

resource "google_monitoring_alert_policy" "failing" {
  project               = var.project_id
  display_name          = "${var.name}: requests fail"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "More than five 5xx responses in five minutes"
    condition_threshold {
      filter          = "${local.of_registry} AND metric.type=\"run.googleapis.com/request_count\" AND metric.label.response_code_class=\"5xx\""
      comparison      = "COMPARISON_GT"
      threshold_value = 5
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "503: a store did not respond. 500: a defect. The log has a line for each, with the request's id."
  }

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_alert_policy" "not_collecting" {
  project               = var.project_id
  display_name          = "${var.name}: garbage is not collected"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "A garbage collection failed"
    condition_matched_log {
      filter = "${local.of_collect} AND severity>=ERROR"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    content = "No data is lost; layers that no client can pull continue to be charged. The log of ${google_cloudfunctions2_function.collect.name} has the cause."
  }
}

# A condition on the log and not on a metric of it: its threshold is exact, and it can be created before the first run, where
# Cloud Monitoring refuses a metric that has no data yet. Such a policy has one condition.
resource "google_monitoring_alert_policy" "not_publishing" {
  count = var.events ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: events are not published"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "An event waits for 15 minutes, a webhook has dead deliveries, or the sweep fails"
    condition_matched_log {
      filter = "(${local.of_publish} AND (jsonPayload.publish.oldest_seconds>900 OR jsonPayload.publish.deliveries.dead>0)) OR (${local.of_sweep} AND severity>=ERROR)"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    content = "No event is lost within `events.keep`. `lading events status` has what waits, and why a topic or a webhook refuses it; the log of ${var.name}-publish has the cause."
  }

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  count = var.events ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: a subscription gave up events"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  # It stays open until all are acknowledged, so its incident lists what is to be done, and not only what has arrived.
  conditions {
    display_name = "Dead letters wait in ${google_pubsub_subscription.dead[0].name}"
    condition_threshold {
      filter          = "resource.type=\"pubsub_subscription\" AND resource.label.subscription_id=\"${google_pubsub_subscription.dead[0].name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "A consumer did not accept events: its log has the cause. `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead[0].name} --limit=100` shows them; once the cause is gone, `lading events replay` publishes them again, and `--auto-ack` removes them here. They are kept for 31 days."
  }

  depends_on = [time_sleep.apis]
}

# Charts of what the log already says. No alert depends on them, and collect has none: a metric counts only lines that are
# written after it, and a distribution is the only kind that keeps a line's number.
resource "google_logging_metric" "publish" {
  for_each = local.publish_metrics

  project         = var.project_id
  name            = "${var.name}-${each.key}"
  description     = each.value.title
  filter          = "${local.of_publish} AND ${each.value.field}>=0"
  value_extractor = "EXTRACT(${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  # Charts show the mean, which is exact whatever the buckets are.
  bucket_options {
    exponential_buckets {
      num_finite_buckets = 24
      growth_factor      = 2
      scale              = 1
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = var.name
    gridLayout = {
      columns = "2"
      widgets = [
        for chart in concat([
          { title = "Requests by status class", filter = "${local.of_registry} AND metric.type=\"run.googleapis.com/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.response_code_class"] },
          { title = "Latency, 99th percentile (ms)", filter = "${local.of_registry} AND metric.type=\"run.googleapis.com/request_latencies\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
          { title = "Instances", filter = "${local.of_registry} AND metric.type=\"run.googleapis.com/container/instance_count\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["metric.label.state"] },
          { title = "Billable instance time (s/s)", filter = "${local.of_registry} AND metric.type=\"run.googleapis.com/container/billable_instance_time\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = [] },
          { title = "Stored layers (bytes)", filter = "resource.type=\"gcs_bucket\" AND resource.label.bucket_name=\"${google_storage_bucket.blobs.name}\" AND metric.type=\"storage.googleapis.com/storage/v2/total_bytes\"", aligner = "ALIGN_MEAN", reducer = "REDUCE_SUM", by = ["metric.label.type"] },
          { title = "Documents read", filter = "resource.type=\"firestore.googleapis.com/Database\" AND resource.label.database_id=\"${google_firestore_database.this.name}\" AND metric.type=\"firestore.googleapis.com/document/read_ops_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = [] },
          { title = "Documents written", filter = "resource.type=\"firestore.googleapis.com/Database\" AND resource.label.database_id=\"${google_firestore_database.this.name}\" AND metric.type=\"firestore.googleapis.com/document/write_ops_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = [] },
          { title = "Garbage collections by status class", filter = "resource.type=\"cloud_run_revision\" AND resource.label.service_name=\"${google_cloudfunctions2_function.collect.name}\" AND metric.type=\"run.googleapis.com/request_count\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.response_code_class"] },
          ], [
          for name, metric in google_logging_metric.publish :
          { title = metric.description, filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${metric.name}\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN", by = [] }
          ]) : {
          title = chart.title
          xyChart = {
            dataSets = [{
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = {
                    alignmentPeriod    = "300s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                    groupByFields      = chart.by
                  }
                }
              }
            }]
          }
        }
      ]
    }
  })

  depends_on = [time_sleep.apis]
}
