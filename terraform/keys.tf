# The keys that sign the registry's tokens, and the one under which robots' secrets are kept.

resource "google_secret_manager_secret" "keys" {
  project   = var.project_id
  secret_id = "${var.name}-keys"
  labels    = var.labels

  deletion_protection = var.deletion_protection # with the keys, all robots are lost

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}

# The first ones; `lading keys rotate` adds versions, of which the latest counts. They are in no plan and no state: the
# argument is write-only. Each apply makes others, and forgets them, since the version below stays as it is.
resource "google_secret_manager_secret_version" "first" {
  secret = google_secret_manager_secret.keys.id

  secret_data_wo = jsonencode({
    tokens = [{ kid = "first", key = base64sha256("${uuid()}${uuid()}${uuid()}") }]
    robots = base64sha256("${uuid()}${uuid()}${uuid()}")
  })
  secret_data_wo_version = 1

  # Who rotated twice may well disable it. Who destroys it has other keys made by the next apply, under which no robot's
  # secret is good any more.
  lifecycle {
    ignore_changes = [enabled]
  }
}
# uuid() is 122 bits of the operating system's randomness, so a key has all the 256 bits that its length holds.
