# Events: topics of Pub/Sub, and what calls the function `publish`, which empties the outbox into them.
#
#   change -> document events/{id} -> Eventarc -> publish -> NAME-events         CloudEvents
#                                     Cloud Scheduler ^  \-> NAME-notifications  Artifact Registry's notifications, or `gcr`
#
# The trigger only wakes the function up: Eventarc delivers at least once and in no order, and gives up after a day.

locals {
  notifications_topic = var.notifications_topic == "" ? "projects/${var.project_id}/topics/${var.name}-notifications" : data.google_pubsub_topic.existing[0].id
}

# Also without `events`, and beside an existing topic: a topic that is deleted takes its subscriptions along.
resource "google_pubsub_topic" "notifications" {
  project = var.project_id
  name    = "${var.name}-notifications"
  labels  = var.labels

  kms_key_name = local.kms.notifications == "" ? null : local.kms.notifications

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# No dependencies: if it were read during the apply only, the configuration would be unknown in the plan.
data "google_pubsub_topic" "existing" {
  count = var.notifications_topic == "" ? 0 : 1

  project = var.project_id
  name    = var.notifications_topic
}

resource "google_pubsub_topic" "events" {
  count = var.events ? 1 : 0

  project = var.project_id
  name    = "${var.name}-events"
  labels  = var.labels

  kms_key_name = local.kms.notifications == "" ? null : local.kms.notifications

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# --- dead letters ----------------------------------------------------------------------------------------------------

# Where a subscription puts events that its consumer did not accept, see "Subscriptions" in README.md of this folder.
resource "google_pubsub_topic" "dead" {
  count = var.events ? 1 : 0

  project = var.project_id
  name    = "${var.name}-events-dead"
  labels  = var.labels

  kms_key_name = local.kms.notifications == "" ? null : local.kms.notifications

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# Without a subscription, a topic keeps nothing.
resource "google_pubsub_subscription" "dead" {
  count = var.events ? 1 : 0

  project                    = var.project_id
  name                       = "${var.name}-events-dead"
  topic                      = google_pubsub_topic.dead[0].id
  labels                     = var.labels
  message_retention_duration = "2678400s" # 31 days, the maximum
  ack_deadline_seconds       = 60

  expiration_policy {
    ttl = "" # never, however long no event is dead
  }
}

# Pub/Sub itself moves dead letters. Its service agent exists once Eventarc has made a subscription.
resource "google_pubsub_topic_iam_member" "dead" {
  count = var.events ? 1 : 0

  project = var.project_id
  topic   = google_pubsub_topic.dead[0].id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  depends_on = [google_eventarc_trigger.publish]
}

# --- trigger ---------------------------------------------------------------------------------------------------------

resource "google_eventarc_trigger" "publish" {
  count = var.events ? 1 : 0

  project = var.project_id
  name    = "${var.name}-publish"
  labels  = var.labels

  # Firestore's, also in a multi-region: "Database does not exist in region 'us-central1'. Did you mean region 'nam5'?"
  # (terraform-provider-google #17057).
  location = google_firestore_database.this.location_id

  service_account         = google_service_account.events[0].email
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
    value     = "events/{id}"
  }

  destination {
    cloud_run_service {
      service = google_cloudfunctions2_function.publish[0].name
      region  = var.region
    }
  }

  # A trigger delivers nothing of another database of the same name
  # (https://cloud.google.com/firestore/native/docs/eventarc).
  lifecycle {
    replace_triggered_by = [google_firestore_database.this.uid]
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.publish, google_project_iam_member.event_receiver]
}

# Cloud Run authenticates Eventarc and the scheduler by this account's token, and refuses all other callers.
resource "google_cloud_run_v2_service_iam_binding" "publish" {
  count = var.events ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.publish[0].name
  role     = "roles/run.invoker"
  members  = [google_service_account.events[0].member]
}

# Receives what Google's services send. Eventarc grants it on projects only.
resource "google_project_iam_member" "event_receiver" {
  count = var.events ? 1 : 0

  project = var.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.events[0].member
}
