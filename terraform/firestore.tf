# Metadata database: manifests, tags, history, upload sessions.

resource "google_firestore_database" "this" {
  project     = var.project_id
  name        = var.name
  location_id = coalesce(var.firestore_location, var.region)
  type        = "FIRESTORE_NATIVE"

  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = "DELETE"

  dynamic "cmek_config" {
    for_each = compact([local.kms.names])
    content {
      kms_key_name = cmek_config.value
    }
  }

  # Firestore sets the key at creation only: changing it would replace the database by an empty one.
  lifecycle {
    ignore_changes = [cmek_config]

    postcondition {
      condition     = local.kms.names == "" || try(self.cmek_config[0].kms_key_name, "") == local.kms.names
      error_message = "The database ${var.name} was created without this key, and Firestore cannot change it. Keep it unchanged: set kms_keys = { names = \"\" } or its current key; or create a new deployment and restore a backup into it (lading restore)."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

resource "google_firestore_backup_schedule" "daily" {
  count = var.backup_retention_days == 0 ? 0 : 1

  project   = var.project_id
  database  = google_firestore_database.this.name
  retention = "${var.backup_retention_days * 86400}s"

  daily_recurrence {}
}

locals {
  # Indexes that queries need, equal to storage/lading_storage/firestore_indexes.py (a test compares them): each field
  # once, in the order that queries use. COLLECTION_GROUP indexes serve queries across all repositories.
  queried = {
    "repositories.position"         = "COLLECTION ASCENDING"
    "repositories.due"              = "COLLECTION_GROUP ASCENDING"
    "blobs.position"                = "COLLECTION ASCENDING"
    "blobs.object"                  = "COLLECTION ASCENDING"
    "blobs.due"                     = "COLLECTION_GROUP ASCENDING"
    "links.position"                = "COLLECTION ASCENDING"
    "links.id"                      = "COLLECTION_GROUP ASCENDING"
    "links.due"                     = "COLLECTION_GROUP ASCENDING"
    "manifests.position"            = "COLLECTION ASCENDING"
    "manifests.subject"             = "COLLECTION ASCENDING"
    "manifests.artifact_type"       = "COLLECTION ASCENDING"
    "manifests.blobs"               = "COLLECTION CONTAINS"
    "manifests.children"            = "COLLECTION CONTAINS"
    "tags.position"                 = "COLLECTION ASCENDING"
    "tags.digest"                   = "COLLECTION ASCENDING"
    "uploads.position"              = "COLLECTION ASCENDING"
    "uploads.due"                   = "COLLECTION_GROUP ASCENDING"
    "robots.position"               = "COLLECTION ASCENDING"
    "deleted_manifests.position"    = "COLLECTION ASCENDING"
    "deleted_manifests.subject"     = "COLLECTION ASCENDING"
    "deleted_manifests.blobs"       = "COLLECTION CONTAINS"
    "deleted_manifests.children"    = "COLLECTION CONTAINS"
    "deleted_manifests.cause"       = "COLLECTION ASCENDING"
    "deleted_manifests.due"         = "COLLECTION_GROUP ASCENDING"
    "deleted_tags.position"         = "COLLECTION ASCENDING"
    "deleted_tags.digest"           = "COLLECTION ASCENDING"
    "deleted_tags.cause"            = "COLLECTION ASCENDING"
    "deleted_tags.due"              = "COLLECTION_GROUP ASCENDING"
    "deleted_links.position"        = "COLLECTION ASCENDING"
    "deleted_links.id"              = "COLLECTION_GROUP ASCENDING"
    "deleted_links.due"             = "COLLECTION_GROUP ASCENDING"
    "histories.position"            = "COLLECTION ASCENDING"
    "moves.position"                = "COLLECTION ASCENDING"
    "moves.tag"                     = "COLLECTION ASCENDING"
    "pulls.position"                = "COLLECTION ASCENDING"
    "running.position"              = "COLLECTION ASCENDING"
    "jobs.position"                 = "COLLECTION ASCENDING"
    "identities.position"           = "COLLECTION ASCENDING"
    "rules.position"                = "COLLECTION ASCENDING"
    "namespaces.position"           = "COLLECTION ASCENDING"
    "events.position"               = "COLLECTION ASCENDING"
    "published_events.position"     = "COLLECTION ASCENDING"
    "webhooks.position"             = "COLLECTION ASCENDING"
    "deliveries.position"           = "COLLECTION ASCENDING"
    "deliveries.webhook"            = "COLLECTION ASCENDING"
    "deliveries.due"                = "COLLECTION_GROUP ASCENDING"
    "stalled_repositories.position" = "COLLECTION ASCENDING"
    "facts.position"                = "COLLECTION ASCENDING"
    "facts.due"                     = "COLLECTION_GROUP ASCENDING"
    "layer_scans.position"          = "COLLECTION ASCENDING"
    "vulnerability_data.position"   = "COLLECTION ASCENDING"
    "trust.position"                = "COLLECTION ASCENDING"
  }

  # All other fields of these documents are not indexed, including fields of later releases. By default, Firestore indexes
  # each field twice, and each array four times. Each entry slows down writes, and a commit that exceeds 10 MiB with its
  # entries is refused.
  collections = [
    "repositories", "blobs", "links", "manifests", "tags", "uploads",
    "robots", "deleted_manifests", "deleted_tags", "deleted_links", "histories", "moves",
    "pulls", "running", "jobs", "identities", "rules", "namespaces",
    "events", "published_events", "webhooks", "deliveries", "stalled_repositories",
    "facts", "layer_scans", "vulnerability_data", "trust",
  ]

  # Long values that no query uses. Indexing them would double their cost, and Firestore truncates values above 1,500 bytes.
  never_asked_for = [
    "manifests.content", "deleted_manifests.content", # the bytes of manifests
    "tags.content", "deleted_tags.content",           # duplicated for pulls by tag
    "uploads.parts", "uploads.sizes",                 # up to 10,000 of each
    "uploads.resume",                                 # the state of the hash
    "facts.content", "facts.notes",                   # the worst findings of an image
    "layer_scans.content",                            # the packages of a layer
    "trust.signatures", "trust.exceptions",           # valid signatures, and exceptions from policies
  ]
}

moved {
  from = google_firestore_field.found_in_all_repositories
  to   = google_firestore_field.queried
}

resource "google_firestore_field" "queried" {
  for_each = local.queried

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = split(".", each.key)[0]
  field      = split(".", each.key)[1]

  index_config {
    indexes {
      query_scope  = split(" ", each.value)[0]
      order        = endswith(each.value, "CONTAINS") ? null : "ASCENDING"
      array_config = endswith(each.value, "CONTAINS") ? "CONTAINS" : null
    }
  }
}

# After the indexes that queries need: otherwise an exemption of all fields would remove them first.
resource "google_firestore_field" "all_others" {
  for_each = toset(local.collections)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.key
  field      = "*"

  index_config {}

  depends_on = [google_firestore_field.queried]
}

resource "google_firestore_field" "never_asked_for" {
  for_each = toset(local.never_asked_for)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = split(".", each.key)[0]
  field      = split(".", each.key)[1]

  index_config {}
}
