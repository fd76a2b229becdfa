# The database of names: manifests, tags, history, upload sessions.

resource "google_firestore_database" "this" {
  project     = var.project_id
  name        = var.name
  location_id = coalesce(var.firestore_location, var.region)
  type        = "FIRESTORE_NATIVE"

  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = "DELETE"

  depends_on = [google_project_service.this]
}

resource "google_firestore_backup_schedule" "daily" {
  count = var.backup_retention_days == 0 ? 0 : 1

  project   = var.project_id
  database  = google_firestore_database.this.name
  retention = "${var.backup_retention_days * 86400}s"

  daily_recurrence {}
}

locals {
  # Queries of all repositories at once. Those of one repository are served by the indexes that Firestore makes by itself.
  found_in_all_repositories = {
    "links.id"         = "a blob that another repository has is mounted; a blob's last link went"
    "links.state"      = "what collection looks at"
    "deleted_links.id" = "a blob's last link went"
  }

  # Long values that no query asks for. Indexed, they would cost as much again, and a value above 1,500 bytes is cut.
  never_asked_for = [
    "manifests.content", "deleted_manifests.content", # the bytes of manifests
    "tags.content", "deleted_tags.content",           # and again, for a pull by tag
    "uploads.parts", "uploads.sizes",                 # up to 10,000 of each
    "uploads.resume",                                 # the state of a hash
  ]
}

resource "google_firestore_field" "found_in_all_repositories" {
  for_each = local.found_in_all_repositories

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = split(".", each.key)[0]
  field      = split(".", each.key)[1]

  # The first three are what Firestore would make by itself: they are named since this replaces them.
  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
    indexes {
      order       = "DESCENDING"
      query_scope = "COLLECTION"
    }
    indexes {
      array_config = "CONTAINS"
      query_scope  = "COLLECTION"
    }
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION_GROUP"
    }
  }
}

resource "google_firestore_field" "never_asked_for" {
  for_each = toset(local.never_asked_for)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = split(".", each.key)[0]
  field      = split(".", each.key)[1]

  index_config {}
}
