# Where pushes and deletions are told of. Nothing is published yet, so nobody has the right to.

resource "google_pubsub_topic" "notifications" {
  project = var.project_id
  name    = "${var.name}-notifications"
  labels  = var.labels

  depends_on = [google_project_service.this]
}
