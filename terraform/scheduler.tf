# Schedule and caller of the jobs.

locals {
  # Seconds within which a time slice of garbage collection must end. Cloud Scheduler waits 1,800 at most.
  collect_deadline = 600

  # Seconds within which a sweep of the publisher must end.
  publish_deadline = 300
}

# Cloud Run authenticates the scheduler by its token, and refuses all other callers.
resource "google_cloud_run_v2_service_iam_binding" "collect" {
  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.collect.name
  role     = "roles/run.invoker"
  members  = [google_service_account.scheduler.member]
}

resource "google_cloud_scheduler_job" "collect" {
  project          = var.project_id
  region           = var.region
  name             = "${var.name}-collect"
  description      = "Collects the garbage of ${var.name}"
  schedule         = var.collect_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.collect_deadline}s" # and no retries: the next call resumes where this one ended

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.collect.service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = google_cloudfunctions2_function.collect.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.collect]
}

# The sweep: publishes what a lost call of the trigger, or a topic that was down, has left.
resource "google_cloud_scheduler_job" "publish" {
  count = var.events ? 1 : 0

  project          = var.project_id
  region           = var.region
  name             = "${var.name}-publish"
  description      = "Publishes the events of ${var.name} that are still waiting"
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.publish_deadline}s" # and no retries: the next sweep is soon enough

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.publish[0].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.events[0].email
      audience              = google_cloudfunctions2_function.publish[0].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.publish]
}
