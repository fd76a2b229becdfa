# Topic for notifications of pushes and deletions. Nothing is published yet, so no account has permission to publish.

resource "google_pubsub_topic" "notifications" {
  project = var.project_id
  name    = "${var.name}-notifications"
  labels  = var.labels

  kms_key_name = local.kms.notifications == "" ? null : local.kms.notifications

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}
