# Service accounts: one for each function, with only the permissions in rights.tf.

resource "google_service_account" "registry" {
  project      = var.project_id
  account_id   = "${var.name}-registry"
  display_name = "Serves the registry ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_service_account" "collect" {
  project      = var.project_id
  account_id   = "${var.name}-collect"
  display_name = "Collects the garbage of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_service_account" "publish" {
  count = var.events ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-publish"
  display_name = "Publishes the events of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_service_account" "events" {
  count = var.events ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-events"
  display_name = "Calls the function publish of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-scheduler"
  display_name = "Calls the jobs of ${var.name}"
  depends_on   = [time_sleep.apis]
}
