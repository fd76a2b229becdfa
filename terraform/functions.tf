# Functions. They are built from the same source, and each has its own service account.

locals {
  # Functions beside the registry.
  jobs = concat(["collect"], var.events ? ["publish"] : [], var.scan ? ["scan"] : [], local.attests ? ["attest"] : [])

  # Traces, of the registry alone. Not parent-based: each request has a parent, Google's front end, which samples only one
  # in ten seconds.
  traces = var.trace_ratio > 0
  trace_variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT = "https://telemetry.googleapis.com"
    OTEL_SERVICE_NAME           = var.name
    OTEL_RESOURCE_ATTRIBUTES    = "gcp.project_id=${var.project_id}"
    OTEL_TRACES_SAMPLER         = "traceidratio"
    OTEL_TRACES_SAMPLER_ARG     = tostring(var.trace_ratio)
  }

  # Environment variables, by function.
  variables = {
    for function in concat(["registry"], local.jobs) : function => merge({
      LADING_CONFIG = local.config

      # A changed source creates a new revision, even if Google builds the same image from it.
      LADING_SOURCE_HASH = local.versions[function]

      # Otherwise Google's client reads the bucket's metadata, for unused traces, without having permission to.
      DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA = "true"
    }, local.traces && function == "registry" ? local.trace_variables : {})
  }
}

# With http2, this function is built but never called: the service in service.tf runs its image. It has to start all the
# same, so without Envoy in its image the server itself has the function's port.
resource "google_cloudfunctions2_function" "registry" {
  project     = var.project_id
  location    = var.region
  name        = "${var.name}-registry"
  description = var.http2 ? "Builds the image that the service ${var.name} runs" : "The registry"
  labels      = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "registry"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source["registry"].name
      }
    }

    # Not automatic: such an image lacks its base image, and another service could not run it.
    on_deploy_update_policy {}
  }

  service_config {
    service_account_email            = google_service_account.registry.email
    environment_variables            = merge(local.variables["registry"], local.sidecar ? { LADING_ADDRESS = "0.0.0.0:${local.port}" } : {})
    ingress_settings                 = var.http2 ? "ALLOW_INTERNAL_ONLY" : var.domain == "" ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
    available_cpu                    = var.cpu
    available_memory                 = var.memory
    max_instance_request_concurrency = var.concurrency
    min_instance_count               = var.http2 ? 0 : var.min_instances
    max_instance_count               = var.http2 ? 1 : var.max_instances
    timeout_seconds                  = var.timeout_seconds
  }

  depends_on = [terraform_data.rights]
}

# Without http2, the function is public, because docker cannot authenticate to Cloud Run: the registry itself does it.
resource "google_cloud_run_v2_service_iam_binding" "registry" {
  count = var.http2 ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.registry.name
  role     = "roles/run.invoker"
  members  = ["allUsers"]
}

resource "google_cloudfunctions2_function" "collect" {
  project     = var.project_id
  location    = var.region
  name        = "${var.name}-collect"
  description = "Collects garbage, when Cloud Scheduler says so"
  labels      = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "collect"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source["collect"].name
      }
    }

    on_deploy_update_policy {}
  }

  service_config {
    service_account_email            = google_service_account.collect.email
    environment_variables            = local.variables["collect"]
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Cloud Scheduler in the same project counts as internal
    available_cpu                    = "1"
    available_memory                 = "512Mi"
    max_instance_request_concurrency = 1
    max_instance_count               = 1
    timeout_seconds                  = local.collect_deadline
  }

  depends_on = [terraform_data.rights]
}

resource "google_cloudfunctions2_function" "publish" {
  count = var.events ? 1 : 0

  project     = var.project_id
  location    = var.region
  name        = "${var.name}-publish"
  description = "Publishes events, when Eventarc or Cloud Scheduler says so"
  labels      = var.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "publish"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source["publish"].name
      }
    }

    on_deploy_update_policy {}
  }

  # One instance, in which calls wait for one another: the two events of a push call the function twice at once, and two
  # publishers of the same events would publish each twice, for which a consumer may build or deploy twice. With a
  # concurrency of one, Cloud Run would refuse the second call, and Eventarc would send it again ten seconds later.
  service_config {
    service_account_email            = google_service_account.publish[0].email
    environment_variables            = local.variables["publish"]
    ingress_settings                 = "ALLOW_INTERNAL_ONLY" # Eventarc and Cloud Scheduler in the same project count as internal
    available_cpu                    = "1"
    available_memory                 = "512Mi"
    max_instance_request_concurrency = 80
    max_instance_count               = 1
    timeout_seconds                  = local.publish_deadline
  }

  depends_on = [terraform_data.rights, google_pubsub_topic_iam_member.publish]
}

# A function fails to start if its permissions do not exist yet, and fails its first queries if the indexes do not.
resource "terraform_data" "rights" {
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_firestore_field.queried,
    google_project_iam_member.build_log,
    google_project_iam_member.build_source,
    google_project_iam_member.records,
    google_project_iam_member.traces,
    google_secret_manager_secret_iam_policy.keys,
    google_secret_manager_secret_version.first,
    google_service_account_iam_policy.registry,
    google_storage_bucket_iam_member.build_source,
    google_storage_bucket_iam_policy.blobs,
    google_storage_bucket_iam_policy.policies,
    google_storage_managed_folder_iam_policy.repositories,
  ]

  lifecycle {
    precondition {
      condition     = length(local.cleanup_faults) == 0
      error_message = "cleanup: ${join("; ", local.cleanup_faults)}."
    }
    precondition {
      condition     = length(local.policy_faults) == 0
      error_message = "policies: ${join("; ", local.policy_faults)}."
    }
    precondition {
      condition     = length(concat(local.setting_faults, local.rule_faults)) == 0
      error_message = "${join("; ", concat(local.setting_faults, local.rule_faults))}."
    }
    precondition {
      condition     = local.config_size <= local.config_max_size
      error_message = "The configuration has ${local.config_size} bytes, and Google Cloud accepts ${local.config_max_size}: shorten the largest of cleanup, policies, immutable, allow_missing, public and the prefixes of repositories, or set rules with `lading rules apply` instead."
    }
  }
}
