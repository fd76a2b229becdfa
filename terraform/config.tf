# Configuration of the registry: one lading.toml for the registry, the collector, and commands on other machines.

locals {
  # Host of the registry. The address of a Cloud Run service is known before the service exists.
  service = var.http2 ? var.name : "${var.name}-registry"
  host    = var.domain != "" ? var.domain : "${local.service}-${local.project_number}.${var.region}.run.app"

  # Settings without a value keep the program's default.
  optional = {
    for name, value in {
      LADING_RULES_SERIAL  = var.rules_serial == null ? "" : tostring(var.rules_serial)
      LADING_IMMUTABLE     = var.immutable
      LADING_ALLOW_MISSING = var.allow_missing
      LADING_CLEANUP       = length(var.cleanup) == 0 ? "" : jsonencode(var.cleanup)
      LADING_CLEANUP_MODE  = length(var.cleanup) == 0 ? "" : var.cleanup_mode
      LADING_VEX_KEYS      = length(var.vex_keys) == 0 ? "" : jsonencode(var.vex_keys)
      LADING_SCAN_KEYS     = length(var.scan_keys) == 0 ? "" : jsonencode(var.scan_keys)
      LADING_POLICIES      = length(var.policies) == 0 ? "" : jsonencode(var.policies)
      LADING_PUBLIC        = join(",", var.public)
      LADING_LARGEST_BODY  = var.http2 ? "" : "31" # MiB; Google limits a request to 32
      LADING_FOLDERS       = var.access == "folders" ? join(",", [for prefix in keys(var.repositories) : trimsuffix(prefix, "/")]) : ""
    } : name => value if value != ""
  }

  settings = merge(local.optional, {
    LADING_URL       = "https://${local.host}"
    LADING_BLOBS     = "gs://${google_storage_bucket.blobs.name}"
    LADING_METADATA  = "firestore://${var.project_id}/${google_firestore_database.this.name}"
    LADING_ACCESS    = var.access == "folders" ? "gs://${google_storage_bucket.policies[0].name}" : "project://${var.project_id}"
    LADING_KEYS      = "secret://${var.project_id}/${google_secret_manager_secret.keys.secret_id}"
    LADING_UNDELETE  = var.undelete
    LADING_GRACE     = var.grace
    LADING_LOG       = "json"
    LADING_THREADS   = tostring(var.concurrency)
    LADING_COLLECTOR = google_service_account.scheduler.email

    LADING_UNSCOPED_TOKENS = var.unscoped_tokens

    # Cloud Run's front end appends the client's address to X-Forwarded-For; a load balancer appends the client's and its
    # own (https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header), and Cloud Run nothing after it
    # (registry.k8s.io, pkg/net/clientip). Not proved against real Google Cloud.
    LADING_TRUSTED_HOPS = var.domain == "" ? "1" : "2"
  }, local.published, local.scanned, local.attested, var.settings)

  # Where the function `publish` publishes, and who may call it. These are not read from the resources: of a function that
  # exists, the provider refuses environment variables that are unknown in the plan.
  published = var.events ? {
    LADING_EVENTS_TOPIC        = "projects/${var.project_id}/topics/${var.name}-events"
    LADING_NOTIFICATIONS_TOPIC = local.notifications_topic
    LADING_PUBLISHER           = "${var.name}-events@${join(".", reverse(split(":", var.project_id)))}.iam.gserviceaccount.com"
  } : {}

  # Who may ask which images pass, and what it writes and signs with.
  attests = var.attest != null
  attested = local.attests ? {
    LADING_ATTESTER            = "${var.name}-attest@${join(".", reverse(split(":", var.project_id)))}.iam.gserviceaccount.com"
    LADING_ATTEST_REPOSITORIES = join(",", var.attest.repositories)
    LADING_ATTESTATION_NOTE    = "projects/${var.project_id}/notes/${var.name}"
    LADING_ATTESTATION_KEY     = "projects/${var.project_id}/locations/${var.region}/keyRings/${var.name}-attest/cryptoKeys/attestations/cryptoKeyVersions/${var.attest.key_versions[0]}"
  } : {}

  # Who may scan; with it, pushed images are scanned.
  scanned = var.scan ? { LADING_SCANNER = "${var.name}-scan@${join(".", reverse(split(":", var.project_id)))}.iam.gserviceaccount.com" } : {}
}

locals {
  # Section and key of each setting, from the program's declarations.
  config_places = {
    for name, declared in local.declarations : name => {
      section = regex("\"([a-z]+)\"", declared)[0]
      key     = try(regex("\\bkey=\"([a-z-]+)\"", declared)[0], replace(lower(trimprefix(name, "LADING_")), "_", "-"))
      kind    = lookup({ number = "number", mebibytes = "number", names = "list", origins = "list", networks = "list", rules = "list" }, local.setting_parsers[name].name, contains(["LADING_CLEANUP", "LADING_SCAN_KEYS", "LADING_VEX_KEYS"], name) ? "json" : "text")
    }
  }

  # Strings of JSON are basic strings of TOML, but for the character DEL. JSON as a whole is a literal string, in which a
  # backslash and quotation marks stand for themselves.
  config_lines = {
    for name, text in local.settings : name => "${local.config_places[name].key} = ${
      local.config_places[name].kind == "json" ? "'${replace(replace(text, "'", "\\u0027"), "\u007f", "\\u007f")}'" :
      local.config_places[name].kind == "list" ? "[${join(", ", [for each in split(",", text) : replace(jsonencode(trimspace(each)), "\u007f", "\\u007f") if trimspace(each) != ""])}]" :
      local.config_places[name].kind == "number" && can(regex("^(0|[1-9][0-9]*)$", text)) ? text :
      replace(jsonencode(text), "\u007f", "\\u007f")
    }" if contains(local.known_settings, name)
  }

  config = join("\n", [
    for section in distinct(sort([for name in keys(local.config_lines) : local.config_places[name].section])) :
    join("", concat(["[${section}]\n"], [for name, line in local.config_lines : "${line}\n" if local.config_places[name].section == section]))
  ])

  # A function's environment variables have at most 32 KiB, and a variable of Cloud Run as much. 1 KiB is left for the
  # others (https://cloud.google.com/run/quotas).
  config_size     = floor(length(base64encode(local.config)) * 3 / 4)
  config_max_size = 31 * 1024
}
