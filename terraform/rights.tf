# Permissions of the functions: exactly those that the code's calls need. tests/terraform/test_rights.py makes all calls and
# compares.

# The function `scan` has none: it works over HTTP (scan.tf).

# --- layers, in the blob bucket (storage/lading_storage/google/gcs.py) -----------------------------------------------

resource "google_project_iam_custom_role" "blobs" {
  project     = var.project_id
  role_id     = replace("${var.name}_blobs", "-", "_")
  title       = "${var.name}: stores layers"
  description = "Reads and writes objects of the blob bucket, but not the bucket"
  permissions = [
    "storage.objects.create", # append: a single upload; join: compose creates the object
    "storage.objects.delete", # delete; join: temporary objects
    "storage.objects.get",    # open; signed_url: read with the signer's permission; join: compose reads the parts
    "storage.objects.list",   # open, delete: without it, a missing object gets 403 instead of 404
  ]
}

resource "google_project_iam_custom_role" "garbage" {
  project     = var.project_id
  role_id     = replace("${var.name}_garbage", "-", "_")
  title       = "${var.name}: collects layers"
  description = "Lists and deletes objects of the blob bucket, and writes its owner mark"
  permissions = [
    "storage.objects.create", # append: the owner mark of a new bucket
    "storage.objects.delete", # delete
    "storage.objects.list",   # names: owner marks, leftovers of crashed uploads; delete: 404 for a missing object
  ]
}

# --- metadata, in Firestore (storage/lading_storage/google/firestore.py) ---------------------------------------------

resource "google_project_iam_custom_role" "records" {
  project     = var.project_id
  role_id     = replace("${var.name}_records", "-", "_")
  title       = "${var.name}: stores records"
  description = "Reads and writes documents of a Firestore database, but not the database"
  permissions = [
    "datastore.entities.create", # commit: new records
    "datastore.entities.delete", # commit: deleted records
    "datastore.entities.get",    # read: records by key
    "datastore.entities.list",   # scan, find: queries
    "datastore.entities.update", # commit: changed records, and touched ones
  ]
}

resource "google_project_iam_member" "records" {
  for_each = merge(
    { registry = google_service_account.registry.member, collect = google_service_account.collect.member },
    { for function, account in { publish = one(google_service_account.publish[*].member) } : function => account if var.events },
  )

  project = var.project_id
  role    = google_project_iam_custom_role.records.name
  member  = each.value

  # Firestore roles are granted on projects; this condition restricts them to one database.
  condition {
    title      = "database-of-${var.name}"
    expression = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\""
  }
}

# --- traces, in Cloud Trace (functions/lading/traces/exporter.py) ----------------------------------------------------

# Google's own role, which has a single permission: telemetry.traces.write. It can be granted on projects only.
resource "google_project_iam_member" "traces" {
  count = local.traces ? 1 : 0

  project = var.project_id
  role    = "roles/telemetry.tracesWriter"
  member  = google_service_account.registry.member
}

# --- keys, in Secret Manager (functions/lading/auth/google/secret_manager.py) ----------------------------------------

resource "google_project_iam_custom_role" "keys" {
  project     = var.project_id
  role_id     = replace("${var.name}_keys", "-", "_")
  title       = "${var.name}: reads its keys"
  description = "The keys that sign the registry's tokens, and seal the secrets of webhooks"
  permissions = [
    "secretmanager.versions.access", # KeySecret.load, every five minutes; `lading keys rotate` runs as a person
  ]
}

resource "google_secret_manager_secret_iam_policy" "keys" {
  project     = var.project_id
  secret_id   = google_secret_manager_secret.keys.secret_id
  policy_data = data.google_iam_policy.keys.policy_data
}

data "google_iam_policy" "keys" {
  binding {
    role    = google_project_iam_custom_role.keys.name
    members = concat([google_service_account.registry.member], google_service_account.publish[*].member)
  }
}

# --- signed URLs, by the service account's own key (storage/lading_storage/google/gcs.py) ----------------------------

resource "google_project_iam_custom_role" "signer" {
  project     = var.project_id
  role_id     = replace("${var.name}_signer", "-", "_")
  title       = "${var.name}: signs URLs"
  description = "Signs as a service account"
  permissions = [
    "iam.serviceAccounts.signBlob", # signed_url, cached until shortly before it expires
  ]
}

# On the account itself only, so that no other account signs in its name.
resource "google_service_account_iam_policy" "registry" {
  service_account_id = google_service_account.registry.name
  policy_data        = data.google_iam_policy.registry.policy_data
}

data "google_iam_policy" "registry" {
  binding {
    role    = google_project_iam_custom_role.signer.name
    members = [google_service_account.registry.member]
  }
}

# --- events, in Pub/Sub (functions/lading/events/pubsub.py) ----------------------------------------------------------

resource "google_project_iam_custom_role" "publisher" {
  count = var.events ? 1 : 0

  project     = var.project_id
  role_id     = replace("${var.name}_publisher", "-", "_")
  title       = "${var.name}: publishes events"
  description = "Publishes to topics, but does not read or change them"
  permissions = [
    "pubsub.topics.publish", # PubSubSink.publish: the events of a range, in order
  ]
}

# Not authoritative: a topic that is only looked up has other publishers.
resource "google_pubsub_topic_iam_member" "publish" {
  for_each = var.events ? { events = google_pubsub_topic.events[0].id, notifications = local.notifications_topic } : {}

  project = var.project_id
  topic   = each.value
  role    = google_project_iam_custom_role.publisher[0].name
  member  = google_service_account.publish[0].member

  depends_on = [google_pubsub_topic.notifications]
}
