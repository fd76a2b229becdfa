# The registry, if `http2` is set: a Cloud Run service that runs the image of the function's build, with HTTP/2 end to end.
# A function's front end speaks HTTP/1, which limits request bodies to 32 MiB, and docker uploads a layer in one request.

# The image of the function's own service has the same tag for all builds (`NAME:version_1`), and Cloud Run resolves a tag
# only when it creates a revision. So the tag is resolved to a digest whenever the function has changed: `depends_on`
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
      error_message = "Artifact Registry reports no digest for the image of the function's build, so the service would keep running the previous image. Apply again once the build is done."
    }
  }
}

# Envoy is part of that image, or with `envoy_image` a container of its own, whose command and configuration envoy.json
# holds. Containers of an instance share its network, and only the port of the one with `ports` can be reached from outside.
locals {
  sidecar     = var.envoy_image != ""
  envoy       = jsondecode(file("${path.module}/envoy.json"))
  port        = local.envoy.bootstrap.static_resources.listeners[0].address.socket_address.port_value
  server_port = local.envoy.bootstrap.static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value
}

resource "google_cloud_run_v2_service" "registry" {
  for_each = var.http2 ? setunion([var.region], var.more_regions) : []

  project             = var.project_id
  location            = each.key
  name                = var.name
  description         = "The registry"
  labels              = var.labels
  ingress             = var.domain == "" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  deletion_protection = false # stateless: the stores have their own protection

  # docker sends Basic authentication, which Cloud Run would refuse: the registry authenticates every request itself.
  invoker_iam_disabled = true

  template {
    service_account                  = google_service_account.registry.email
    max_instance_request_concurrency = var.concurrency
    timeout                          = "${var.timeout_seconds}s"
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2" # otherwise Google chooses

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    # First: the provider keeps the ports of the first container even where they are no longer configured.
    dynamic "containers" {
      for_each = local.sidecar ? [var.envoy_image] : []
      content {
        name       = "envoy"
        image      = containers.value
        command    = local.envoy.command
        args       = concat(["--config-yaml", jsonencode(local.envoy.bootstrap)], local.envoy.options)
        depends_on = ["registry"]

        ports {
          name           = "h2c"
          container_port = local.port
        }

        # The least that Cloud Run documents for GEN2 with concurrent requests. Envoy's heap is limited to 160 MiB.
        resources {
          limits            = { cpu = "1", memory = "512Mi" }
          cpu_idle          = true
          startup_cpu_boost = var.startup_cpu_boost
        }

        startup_probe {
          period_seconds    = 1
          failure_threshold = 60
          tcp_socket {
            port = local.port
          }
        }
      }
    }

    containers {
      name  = local.sidecar ? "registry" : null
      image = data.google_artifact_registry_docker_image.built[0].self_link

      dynamic "ports" {
        for_each = local.sidecar ? [] : [local.port]
        content {
          name           = "h2c"
          container_port = ports.value
        }
      }

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = true # billed only while it handles requests
        startup_cpu_boost = var.startup_cpu_boost
      }

      startup_probe {
        period_seconds    = 1
        failure_threshold = 60
        tcp_socket {
          port = local.sidecar ? local.server_port : local.port
        }
      }

      dynamic "env" {
        for_each = merge(
          local.variables["registry"],
          { FUNCTION_TARGET = "registry" },
          local.sidecar ? { LADING_ADDRESS = "0.0.0.0:${local.server_port}" } : {}, # probes may not reach loopback
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
