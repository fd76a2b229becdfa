# Attestations of Binary Authorization: what calls the function `attest`, and what it signs and writes with (docs/attestations.md).
#
#   NAME-events -> Pub/Sub -> attest -> the registry, over HTTP: which images pass the policies that are enforced
#           Cloud Scheduler ^    \-> Cloud KMS: a signature; Container Analysis: an occurrence on the attestor's note
#
# An event only wakes the function up. It has no rights to any store of the registry. Not proved against real Google Cloud.

locals {
  attest_versions = local.attests ? var.attest.key_versions : []

  # Seconds: a sweep asks about images for four minutes, and writes attestations of the last ones.
  attest_deadline = 480

  of_attest       = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-attest\""
  of_attest_sweep = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-attest\""
}

# --- attestor --------------------------------------------------------------------------------------------------------

# Key rings and keys cannot be deleted: after a destroy, they have to be imported.
resource "google_kms_key_ring" "attest" {
  count = local.attests ? 1 : 0

  project    = var.project_id
  location   = var.region
  name       = "${var.name}-attest"
  depends_on = [time_sleep.apis]
}

resource "google_kms_crypto_key" "attest" {
  count = local.attests ? 1 : 0

  key_ring = google_kms_key_ring.attest[0].id
  name     = "attestations"
  purpose  = "ASYMMETRIC_SIGN"
  labels   = var.labels

  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = var.attest.protection_level
  }

  # To destroy it would destroy all of its versions: no image could be attested, until the attestor has another key.
  lifecycle {
    prevent_destroy = true
  }
}

data "google_kms_crypto_key_version" "attest" {
  for_each = toset([for version in local.attest_versions : tostring(version)])

  crypto_key = google_kms_crypto_key.attest[0].id
  version    = each.key
}

resource "google_container_analysis_note" "attest" {
  count = local.attests ? 1 : 0

  project           = var.project_id
  name              = var.name
  short_description = "Images that pass the policies of ${local.host}"

  attestation_authority {
    hint {
      human_readable_name = "Passes the policies of ${local.host}"
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_binary_authorization_attestor" "attest" {
  count = local.attests ? 1 : 0

  project     = var.project_id
  name        = var.name
  description = "Images that pass the policies of ${local.host}"

  attestation_authority_note {
    note_reference = google_container_analysis_note.attest[0].name

    dynamic "public_keys" {
      for_each = local.attest_versions
      content {
        id = "//cloudkms.googleapis.com/v1/${google_kms_crypto_key.attest[0].id}/cryptoKeyVersions/${public_keys.value}"
        pkix_public_key {
          public_key_pem      = data.google_kms_crypto_key_version.attest[tostring(public_keys.value)].public_key[0].pem
          signature_algorithm = "ECDSA_P256_SHA256"
        }
      }
    }
  }
}

# Binary Authorization reads the attestations of the note as this account.
resource "google_container_analysis_note_iam_member" "attestor" {
  count = local.attests ? 1 : 0

  project = var.project_id
  note    = google_container_analysis_note.attest[0].name
  role    = "roles/containeranalysis.notes.occurrences.viewer"
  member  = "serviceAccount:${google_binary_authorization_attestor.attest[0].attestation_authority_note[0].delegation_service_account_email}"
}

# --- function --------------------------------------------------------------------------------------------------------

# The registry reads this account's address in its settings, and verifies its ID tokens.
resource "google_service_account" "attest" {
  count = local.attests ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-attest"
  display_name = "Attests images of ${var.name}"
  depends_on   = [time_sleep.apis]
}

resource "google_project_iam_custom_role" "attest" {
  for_each = local.attests ? {
    signs = {
      title       = "signs attestations"
      permissions = ["cloudkms.cryptoKeyVersions.useToSign"] # KmsSigner.sign
    }
    attaches = {
      title = "writes attestations on its note"
      permissions = [
        "containeranalysis.notes.attachOccurrence", # Attestations.attest: a new occurrence
        "containeranalysis.notes.listOccurrences",  # Attestations.attest, uris: what is there
      ]
    }
    writes = {
      title = "writes attestations in the project"
      permissions = [
        "containeranalysis.occurrences.create", # Attestations.attest: a new occurrence, which needs both
        "containeranalysis.occurrences.update", # Attestations.attest: the signature of another version of the key
      ]
    }
  } : {}

  project     = var.project_id
  role_id     = replace("${var.name}_attest_${each.key}", "-", "_")
  title       = "${var.name}: ${each.value.title}"
  permissions = each.value.permissions
}

resource "google_kms_crypto_key_iam_member" "attest" {
  count = local.attests ? 1 : 0

  crypto_key_id = google_kms_crypto_key.attest[0].id
  role          = google_project_iam_custom_role.attest["signs"].name
  member        = google_service_account.attest[0].member
}

resource "google_container_analysis_note_iam_member" "attest" {
  count = local.attests ? 1 : 0

  project = var.project_id
  note    = google_container_analysis_note.attest[0].name
  role    = google_project_iam_custom_role.attest["attaches"].name
  member  = google_service_account.attest[0].member
}

# Occurrences have no parent but the project.
resource "google_project_iam_member" "attest" {
  count = local.attests ? 1 : 0

  project = var.project_id
  role    = google_project_iam_custom_role.attest["writes"].name
  member  = google_service_account.attest[0].member
}

resource "google_cloudfunctions2_function" "attest" {
  count = local.attests ? 1 : 0

  project     = var.project_id
  location    = var.region
  name        = "${var.name}-attest"
  description = "Writes attestations, when Pub/Sub or Cloud Scheduler says so"
  labels      = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "attest"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source["attest"].name
      }
    }

    on_deploy_update_policy {}
  }

  # One instance, in which one attestation is written at a time: two would write some of them twice. A call beyond its
  # concurrency is refused, and Pub/Sub sends it again.
  service_config {
    service_account_email            = google_service_account.attest[0].email
    environment_variables            = local.variables["attest"]
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Pub/Sub and Cloud Scheduler in the same project count as internal
    available_cpu                    = "1"
    available_memory                 = "512Mi"
    max_instance_request_concurrency = 8
    max_instance_count               = 1
    timeout_seconds                  = local.attest_deadline
  }

  depends_on = [
    terraform_data.rights,
    google_container_analysis_note_iam_member.attest,
    google_kms_crypto_key_iam_member.attest,
    google_project_iam_member.attest,
  ]
}

# Cloud Run authenticates Pub/Sub and the scheduler by this account's token, and refuses all other callers.
resource "google_cloud_run_v2_service_iam_binding" "attest" {
  count = local.attests ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.attest[0].name
  role     = "roles/run.invoker"
  members  = [google_service_account.scheduler.member]
}

# What changes whether an image passes: a push of it, of its signature or of an index around it; a scan; a restored image.
resource "google_pubsub_subscription" "attest" {
  count = local.attests ? 1 : 0

  project                    = var.project_id
  name                       = "${var.name}-attest"
  topic                      = google_pubsub_topic.events[0].id
  labels                     = var.labels
  filter                     = join(" OR ", [for type in ["image.pushed", "image.scanned", "image.restored", "tag.moved"] : "attributes.type = \"dev.lading.${type}.v1\""])
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s" # the sweep finds what is lost after a week

  push_config {
    push_endpoint = google_cloudfunctions2_function.attest[0].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.scheduler.email
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = "" # not after 31 days without an event
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.attest]
}

# The sweep: what a lost event has left, and what passes only because time has passed, or a policy has changed.
resource "google_cloud_scheduler_job" "attest" {
  count = local.attests ? 1 : 0

  project          = var.project_id
  region           = var.region
  name             = "${var.name}-attest"
  description      = "Attests the images of ${var.name} that pass"
  schedule         = var.attest.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.attest_deadline}s" # and no retries: the next sweep is soon enough

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.attest[0].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = google_cloudfunctions2_function.attest[0].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.attest]
}

resource "google_monitoring_alert_policy" "not_attesting" {
  count = local.attests ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: images are not attested"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "Google refuses a request of the function, or the sweep fails"
    condition_matched_log {
      filter = "(${local.of_attest} AND severity>=ERROR AND jsonPayload.message:\"attestation\") OR (${local.of_attest_sweep} AND severity>=ERROR)"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    content = "Images that pass the policies get no attestations, and cannot be deployed where Binary Authorization requires them. The log of ${var.name}-attest names the permission that is missing."
  }

  depends_on = [time_sleep.apis]
}
