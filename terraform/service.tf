# The registry, with http2: the very image that the function's build made, behind a port that speaks HTTP/2 from end to
# end. A function's own front is HTTP/1, where a request's body ends at 32 MiB; docker sends a layer as one request.

# The image of the function's own service has one constant tag for all builds (`NAME:version_1`), and Cloud Run reads a tag
# only when it makes a revision. So the tag is read as a digest, each time that the function has changed: `depends_on`
# defers both data sources until the build is done.
data "google_cloud_run_v2_service" "built" {
  count = var.http2 ? 1 : 0

  project    = var.project_id
  location   = var.region
  name       = google_cloudfunctions2_function.registry.name
  depends_on = [google_cloudfunctions2_function.registry]
}

data "google_artifact_registry_docker_image" "built" {
  count = var.http2 ? 1 : 0

  project       = var.project_id
  location      = google_artifact_registry_repository.images.location
  repository_id = google_artifact_registry_repository.images.repository_id
  image_name    = basename(data.google_cloud_run_v2_service.built[0].template[0].containers[0].image)
  depends_on    = [google_cloudfunctions2_function.registry]

  lifecycle {
    postcondition {
      condition     = can(regex("@sha256:[0-9a-f]{64}$", self.self_link))
      error_message = "Artifact Registry tells no digest of the image that the function's build made: the service would go on with the one before."
    }
  }
}

resource "google_cloud_run_v2_service" "registry" {
  for_each = var.http2 ? setunion([var.region], var.more_regions) : []

  project             = var.project_id
  location            = each.key
  name                = var.name
  description         = "The registry"
  labels              = var.labels
  ingress             = var.domain == "" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  deletion_protection = false # it holds nothing: the stores have a protection of their own

  # docker sends Basic, which Cloud Run would refuse: the registry itself checks every request.
  invoker_iam_disabled = true

  template {
    service_account                  = google_service_account.registry.email
    max_instance_request_concurrency = var.concurrency
    timeout                          = "${var.timeout_seconds}s"
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2" # else Google chooses

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = data.google_artifact_registry_docker_image.built[0].self_link

      ports {
        name           = "h2c"
        container_port = 8080
      }

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = true # paid for while it works
        startup_cpu_boost = var.startup_cpu_boost
      }

      startup_probe {
        period_seconds    = 1
        failure_threshold = 60
        tcp_socket {
          port = 8080
        }
      }

      dynamic "env" {
        for_each = merge(
          local.settings,
          { FUNCTION_TARGET = "registry" },
          local.cdn ? { LADING_CDN_KEY = "${local.cdn_mount}/key" } : {},
        )
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = local.cdn ? [local.cdn_mount] : []
        content {
          name       = "cdn"
          mount_path = volume_mounts.value
        }
      }
    }

    dynamic "volumes" {
      for_each = google_secret_manager_secret_version.cdn
      content {
        name = "cdn"
        secret {
          secret = google_secret_manager_secret.cdn[0].secret_id
          items {
            version = volumes.value.version
            path    = "key"
          }
        }
      }
    }
  }

  depends_on = [terraform_data.rights, google_secret_manager_secret_iam_policy.cdn]
}
