# The database of names: manifests, tags, history, upload sessions.

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

  # Firestore takes a key when it makes a database, and never again: another key would make another, empty database.
  lifecycle {
    ignore_changes = [cmek_config]

    postcondition {
      condition     = local.kms.names == "" || try(self.cmek_config[0].kms_key_name, "") == local.kms.names
      error_message = "The database ${var.name} was made without this key, or with another, and Firestore cannot change it. Leave it as it is, with kms_keys = { names = \"\" } or the key that it has; or make a new deployment and restore a backup into it (lading restore)."
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
  # The indexes that queries need (storage/lading_storage/google/firestore_indexes.py, which a test compares): each field once, for the one
  # order in which it is asked for. Those of a COLLECTION_GROUP serve queries of all repositories at once.
  queried = {
    "repositories.position"      = "COLLECTION ASCENDING"
    "repositories.due"           = "COLLECTION_GROUP ASCENDING"
    "blobs.position"             = "COLLECTION ASCENDING"
    "blobs.object"               = "COLLECTION ASCENDING"
    "blobs.due"                  = "COLLECTION_GROUP ASCENDING"
    "links.position"             = "COLLECTION ASCENDING"
    "links.id"                   = "COLLECTION_GROUP ASCENDING"
    "links.due"                  = "COLLECTION_GROUP ASCENDING"
    "manifests.position"         = "COLLECTION ASCENDING"
    "manifests.subject"          = "COLLECTION ASCENDING"
    "manifests.artifact_type"    = "COLLECTION ASCENDING"
    "manifests.blobs"            = "COLLECTION CONTAINS"
    "manifests.children"         = "COLLECTION CONTAINS"
    "tags.position"              = "COLLECTION ASCENDING"
    "tags.digest"                = "COLLECTION ASCENDING"
    "uploads.position"           = "COLLECTION ASCENDING"
    "uploads.due"                = "COLLECTION_GROUP ASCENDING"
    "robots.position"            = "COLLECTION ASCENDING"
    "deleted_manifests.position" = "COLLECTION ASCENDING"
    "deleted_manifests.subject"  = "COLLECTION ASCENDING"
    "deleted_manifests.blobs"    = "COLLECTION CONTAINS"
    "deleted_manifests.children" = "COLLECTION CONTAINS"
    "deleted_manifests.cause"    = "COLLECTION ASCENDING"
    "deleted_manifests.due"      = "COLLECTION_GROUP ASCENDING"
    "deleted_tags.position"      = "COLLECTION ASCENDING"
    "deleted_tags.digest"        = "COLLECTION ASCENDING"
    "deleted_tags.cause"         = "COLLECTION ASCENDING"
    "deleted_tags.due"           = "COLLECTION_GROUP ASCENDING"
    "deleted_links.position"     = "COLLECTION ASCENDING"
    "deleted_links.id"           = "COLLECTION_GROUP ASCENDING"
    "deleted_links.due"          = "COLLECTION_GROUP ASCENDING"
    "histories.position"         = "COLLECTION ASCENDING"
    "moves.position"             = "COLLECTION ASCENDING"
    "moves.tag"                  = "COLLECTION ASCENDING"
    "pulls.position"             = "COLLECTION ASCENDING"
    "running.position"           = "COLLECTION ASCENDING"
    "jobs.position"              = "COLLECTION ASCENDING"
    "identities.position"        = "COLLECTION ASCENDING"
  }

  # Whatever else a document of these has is not indexed, the fields of later releases included. By itself Firestore
  # indexes each field twice, and an array four times; a write takes longer for each entry, and a commit of more than
  # 10 MiB with its entries is refused.
  collections = [
    "repositories", "blobs", "links", "manifests", "tags", "uploads",
    "robots", "deleted_manifests", "deleted_tags", "deleted_links", "histories", "moves",
    "pulls", "running", "jobs", "identities",
  ]

  # Long values that no query asks for. Indexed, they would cost as much again, and a value above 1,500 bytes is cut.
  never_asked_for = [
    "manifests.content", "deleted_manifests.content", # the bytes of manifests
    "tags.content", "deleted_tags.content",           # and again, for a pull by tag
    "uploads.parts", "uploads.sizes",                 # up to 10,000 of each
    "uploads.resume",                                 # the state of a hash
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

# After the indexes that queries need, which an exemption of all fields would else remove first.
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
