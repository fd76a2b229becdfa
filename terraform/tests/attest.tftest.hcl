# Plans of attestations, as plan.tftest.hcl makes them.

provider "google" {
  access_token = "offline"
}

variables {
  project_id = "my-project-123"
}

run "attest" {
  command = plan

  variables {
    attest = { repositories = ["prod/*", "team/app"], key_versions = [2, 1] }
  }

  assert {
    condition     = google_kms_crypto_key.attest[0].version_template[0].algorithm == "EC_SIGN_P256_SHA256" && google_kms_crypto_key.attest[0].purpose == "ASYMMETRIC_SIGN" && google_kms_crypto_key.attest[0].version_template[0].protection_level == "SOFTWARE"
    error_message = "The key must be one that signs attestations."
  }
  assert {
    condition     = toset(keys(data.google_kms_crypto_key_version.attest)) == toset(["1", "2"])
    error_message = "The attestor must accept all versions of the key."
  }
  assert {
    condition     = google_cloudfunctions2_function.attest[0].service_config[0].max_instance_count == 1 && google_cloudfunctions2_function.attest[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "One instance must write attestations, and only Pub/Sub and the scheduler may call it."
  }
  assert {
    condition     = google_pubsub_subscription.attest[0].filter == "attributes.type = \"dev.lading.image.pushed.v1\" OR attributes.type = \"dev.lading.image.scanned.v1\" OR attributes.type = \"dev.lading.image.restored.v1\" OR attributes.type = \"dev.lading.tag.moved.v1\""
    error_message = "Each event that changes whether an image passes must call the function."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.attest[0].role == "roles/run.invoker" && google_cloud_scheduler_job.attest[0].schedule == "17 * * * *"
    error_message = "The scheduler must call the function."
  }
  assert {
    condition = {
      for name, value in local.settings : name => value if startswith(name, "LADING_ATTEST")
      } == {
      LADING_ATTESTER            = "lading-attest@my-project-123.iam.gserviceaccount.com"
      LADING_ATTEST_REPOSITORIES = "prod/*,team/app"
      LADING_ATTESTATION_NOTE    = "projects/my-project-123/notes/lading"
      LADING_ATTESTATION_KEY     = "projects/my-project-123/locations/europe-west1/keyRings/lading-attest/cryptoKeys/attestations/cryptoKeyVersions/2"
    }
    error_message = "The function must know what it writes, and the first version of the key must sign."
  }
  assert {
    condition     = google_container_analysis_note.attest[0].name == "lading" && google_binary_authorization_attestor.attest[0].name == "lading" && google_kms_key_ring.attest[0].name == "lading-attest"
    error_message = "The names must be those in the settings."
  }
  assert {
    condition     = toset(flatten([for role in google_project_iam_custom_role.attest : role.permissions])) == toset(["cloudkms.cryptoKeyVersions.useToSign", "containeranalysis.notes.attachOccurrence", "containeranalysis.notes.listOccurrences", "containeranalysis.occurrences.create", "containeranalysis.occurrences.update"])
    error_message = "The function must have the permissions of its calls alone."
  }
  assert {
    condition     = !contains(keys(google_project_iam_member.records), "attest") && local.archives["attest"] == "jobs"
    error_message = "The function must have no rights to the stores, and no libraries of its own."
  }
  assert {
    condition     = alltrue([for api in ["binaryauthorization", "cloudkms", "containeranalysis"] : contains(keys(google_project_service.this), "${api}.googleapis.com")])
    error_message = "Its services must be enabled."
  }
}

run "without_attest" {
  command = plan

  assert {
    condition = length(concat(
      google_cloudfunctions2_function.attest, google_kms_key_ring.attest, google_kms_crypto_key.attest, google_container_analysis_note.attest,
      google_binary_authorization_attestor.attest, google_service_account.attest, google_pubsub_subscription.attest, google_cloud_scheduler_job.attest,
      google_monitoring_alert_policy.not_attesting, google_cloud_run_v2_service_iam_binding.attest,
    )) == 0 && length(google_project_iam_custom_role.attest) == 0 && length([for name in keys(local.settings) : name if startswith(name, "LADING_ATTEST")]) == 0
    error_message = "Nothing of attestations may be created."
  }
  assert {
    condition     = !contains(keys(google_project_service.this), "binaryauthorization.googleapis.com")
    error_message = "Its services must not be enabled."
  }
}

run "attest_without_events" {
  command = plan

  variables {
    attest = { repositories = ["prod/*"] }
    events = false
  }

  expect_failures = [var.attest]
}

run "attest_without_repositories" {
  command = plan

  variables {
    attest = { repositories = [] }
  }

  expect_failures = [var.attest]
}
