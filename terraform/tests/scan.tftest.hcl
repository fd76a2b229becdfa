# Plans of the scanner of images, as plan.tftest.hcl makes them.

provider "google" {
  access_token = "offline"
}

variables {
  project_id = "my-project-123"
}

run "scan" {
  command = plan

  assert {
    condition = toset([for each in google_eventarc_trigger.scan[0].matching_criteria : "${each.attribute} ${each.operator}= ${each.value}"]) == toset([
      "type = google.cloud.firestore.document.v1.created", "database = lading", "document match-path-pattern= repositories/{name}/facts/{digest}",
    ])
    error_message = "Each new image must call the function, and no other document."
  }
  assert {
    condition     = google_cloudfunctions2_function.scan[0].service_config[0].max_instance_request_concurrency == 1 && google_cloudfunctions2_function.scan[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "An instance must scan one image at a time, and only Eventarc and the scheduler may call it."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.scan[0].role == "roles/run.invoker" && google_cloud_scheduler_job.scan[0].schedule == "*/5 * * * *"
    error_message = "The scheduler must call the function."
  }
  assert {
    condition     = local.settings.LADING_SCANNER == "lading-scan@my-project-123.iam.gserviceaccount.com" && google_service_account.scan[0].account_id == "lading-scan"
    error_message = "The registry must know the scanner's account."
  }
  assert {
    condition     = strcontains(data.archive_file.source["scan"].output_path, "lading-scan-") && strcontains(local.requirements.scan, "\ncyclonedx-python-lib==") && !strcontains(local.requirements.jobs, "cyclonedx")
    error_message = "Only the scanner must have the libraries that scan."
  }
  assert {
    condition     = !contains(keys(google_project_iam_member.records), "scan")
    error_message = "The scanner must have no rights to the stores."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.not_scanning[0].conditions[0].condition_matched_log[0].filter, "jsonPayload.scan.scans.failed>0")
    error_message = "Scans that fail must alert."
  }
}

run "without_scan" {
  command = plan

  variables {
    scan   = false
    events = false
  }

  assert {
    condition = length(concat(
      google_cloudfunctions2_function.scan, google_eventarc_trigger.scan, google_cloud_scheduler_job.scan, google_service_account.scan,
      google_monitoring_alert_policy.not_scanning, google_cloud_run_v2_service_iam_binding.scan, google_project_iam_member.scan_event_receiver,
    )) == 0 && !contains(keys(local.settings), "LADING_SCANNER")
    error_message = "Nothing of the scanner may be created."
  }
  assert {
    condition     = !contains(keys(google_project_service.this), "eventarc.googleapis.com")
    error_message = "Its service must not be enabled."
  }
}
