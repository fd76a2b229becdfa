# --- location ---------------------------------------------------------------------------------------------------------

variable "project_id" {
  description = "Project to deploy into. It needs a billing account."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id, as in my-project-123, not its number or its name."
  }
}

variable "region" {
  description = "Region of the functions."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a region, as in europe-west1, not a zone or a multi-region."
  }
}

variable "more_regions" {
  description = "Additional regions that serve the registry. They require `domain`, and should have multi-regional stores: see `blob_location` and `firestore_location`."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.more_regions) == 0 || (var.domain != "" && var.http2)
    error_message = "more_regions need domain, whose load balancer sends clients to the nearest one, and http2."
  }
  validation {
    condition     = !contains(var.more_regions, var.region)
    error_message = "more_regions are those beside region."
  }
}

variable "name" {
  description = "Prefix of the names of all resources. Two registries in one project need different names."
  type        = string
  default     = "lading"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,16}[a-z0-9]$", var.name))
    error_message = "name is 4 to 18 lower-case letters, digits and hyphens, which names of databases and of service accounts leave."
  }
}

variable "labels" {
  description = "Labels of all resources that support labels."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` refuses to delete resources whose loss means lost images or robots: the database, the keys, and buckets that are not empty."
  type        = bool
  default     = true
}

# --- access control ---------------------------------------------------------------------------------------------------

variable "access" {
  description = "How Google IAM controls access: `folders`, by `repositories` below, or `project`, by roles of Artifact Registry granted on the project."
  type        = string
  default     = "folders"

  validation {
    condition     = contains(["folders", "project"], var.access)
    error_message = "access must be folders or project."
  }
}

variable "unscoped_tokens" {
  description = "Maximum access of Google tokens whose scopes Google does not report: those of federated workloads, of workforce pools, and those that a service account signed itself for an audience. One of `refuse`, `pull`, `push` and `delete`; IAM permissions limit it further."
  type        = string
  default     = "pull"

  validation {
    condition     = contains(["refuse", "pull", "push", "delete"], var.unscoped_tokens)
    error_message = "unscoped_tokens must be refuse, pull, push or delete."
  }
}

variable "repositories" {
  description = <<-END
    Access to repositories by prefix with a trailing slash, as members of IAM policies: `readers` pull, `writers` pull
    and push, `admins` pull, push and delete. `team-a/` applies to `team-a` and `team-a/…`. Permissions are inherited: a principal that can push to `team-a/` can push to `team-a/web/`.
  END
  type = map(object({
    readers = optional(list(string), [])
    writers = optional(list(string), [])
    admins  = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for prefix in keys(var.repositories) : can(regex("^([a-z0-9]+([._-]+[a-z0-9]+)*/)+$", prefix))])
    error_message = "A prefix of repositories must consist of lower-case names, each followed by a slash, for example team-a/ or team-a/web/."
  }
  validation {
    condition     = alltrue([for prefix in keys(var.repositories) : length(split("/", prefix)) <= 16]) && length(var.repositories) <= 500
    error_message = "Prefixes must have at most 15 names, and there must be at most 500 prefixes."
  }
  validation {
    condition = alltrue([
      for member in flatten([for each in var.repositories : [each.readers, each.writers, each.admins]]) :
      can(regex("^(user|group|serviceAccount|domain|principal|principalSet|deleted):", member))
    ])
    error_message = "Members must have the form of IAM policies, for example group:team@example.com. For public repositories, use the variable public."
  }
}

variable "owners" {
  description = "Principals that own the project through its folder or organization, as members of IAM policies. They get full access to all repositories, which owners of the project itself have without being listed, and can continue to manage the buckets."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.owners : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", member))])
    error_message = "owners must have the form of members of IAM policies, for example group:platform@example.com."
  }
}

variable "public" {
  description = "Repositories that anonymous clients can pull, for example `team/app` or `library/*`."
  type        = list(string)
  default     = []
}

# --- serving ----------------------------------------------------------------------------------------------------------

variable "http2" {
  description = "Whether the registry is a Cloud Run service with HTTP/2 that runs the image of the function's build. If false, the function itself serves: requests, and so layers, are limited to 32 MiB, and the function's invoker is allUsers, which some organizations forbid."
  type        = bool
  default     = true
}

variable "envoy_image" {
  description = "Image of Envoy by digest, for example `docker.io/envoyproxy/envoy@sha256:…`: Envoy runs as a sidecar, a container of its own with a CPU and 512 MiB more for each instance, and the image of the function's build has none. It needs `sh` and `sleep`, so not the distroless variant, and the release of `functions/requirements-envoy.txt`. Empty for Envoy in the image of the function's build."
  type        = string
  default     = ""

  validation {
    condition     = var.envoy_image == "" || can(regex("^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$", var.envoy_image))
    error_message = "envoy_image must be an image by digest, for example docker.io/envoyproxy/envoy@sha256:…: a tag could be moved to another image."
  }
  validation {
    condition     = var.envoy_image == "" || var.http2
    error_message = "envoy_image requires http2: a function has no sidecars."
  }
}

variable "trace_ratio" {
  description = "Share of requests, from 0 to 1, whose traces the registry exports to Cloud Trace: see docs/traces.md. Google charges for spans beyond a free allotment, and a request has about ten. 0 exports none."
  type        = number
  default     = 0

  validation {
    condition     = var.trace_ratio >= 0 && var.trace_ratio <= 1
    error_message = "trace_ratio must be between 0 and 1, for example 0.01."
  }
}

variable "runtime" {
  description = "Python runtime of the functions. Tests run on 3.11."
  type        = string
  default     = "python311"

  validation {
    condition     = can(regex("^python31[1-4]$", var.runtime))
    error_message = "runtime must be python311 or newer."
  }
}

variable "cpu" {
  description = "CPUs of a registry instance."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "4", "6", "8"], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8: with less than one, an instance serves one request at a time."
  }
}

variable "memory" {
  description = "Memory of a registry instance. It needs about 150 MiB, plus 1 MiB per concurrent request."
  type        = string
  default     = "512Mi"

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory must have the form 512Mi or 2Gi."
  }
  # https://cloud.google.com/run/docs/configuring/services/memory-limits
  validation {
    condition = try(
      tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1) >= lookup({ "4" = 2048, "6" = 4096, "8" = 4096 }, var.cpu, 512)
      && tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1) <= lookup({ "1" = 4096, "2" = 8192, "4" = 16384, "6" = 24576 }, var.cpu, 32768),
      true,
    )
    error_message = "Cloud Run allows 512Mi to 4Gi of memory with 1 CPU, 512Mi to 8Gi with 2, 2Gi to 16Gi with 4, 4Gi to 24Gi with 6, and 4Gi to 32Gi with 8."
  }
}

variable "concurrency" {
  description = "Maximum concurrent requests of an instance. A slow upload occupies one of them for its whole duration."
  type        = number
  default     = 80

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency must be an integer from 1 to 1000."
  }
}

variable "min_instances" {
  description = "Minimum registry instances in each region. With 0, an idle registry costs nothing, and the first request after an idle period waits for a cold start."
  type        = number
  default     = 0

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances must be an integer of at least 0."
  }
}

variable "max_instances" {
  description = "Maximum registry instances in each region."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 1 && var.max_instances >= var.min_instances && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be an integer of at least 1, and at least min_instances."
  }
}

variable "startup_cpu_boost" {
  description = "Whether a starting instance gets additional CPUs, which shortens a cold start. Only with `http2`."
  type        = bool
  default     = true
}

variable "timeout_seconds" {
  description = "Timeout of a request in seconds, including uploads of layers."
  type        = number
  default     = 3600

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds must be from 60 to 3600."
  }
}

variable "settings" {
  description = "Additional settings of the registry, by the names of the environment variables in docs/settings.md. The configuration (output `config`) gets them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "LADING_")])
    error_message = "Settings must be names that start with LADING_."
  }
  validation {
    condition     = length(setsubtract([for name in keys(var.settings) : name if startswith(name, "LADING_")], local.known_settings)) == 0
    error_message = "Unknown settings: ${join(", ", setsubtract(keys(var.settings), local.known_settings))}."
  }
  # Otherwise a value could bypass the validation of its variable, or select stores that the permissions do not cover.
  validation {
    condition     = length(setintersection(keys(var.settings), local.decided_settings)) == 0
    error_message = "The module decides these settings, or has variables for them: ${join(", ", setintersection(keys(var.settings), local.decided_settings))}."
  }
}

# --- storage ----------------------------------------------------------------------------------------------------------

variable "blob_location" {
  description = "Location of layers: a region, a multi-region (EU) or a predefined dual-region (EUR4). Defaults to the region of the functions; in another region, each pull would pay for traffic between regions."
  type        = string
  default     = ""
}

variable "blob_dual_region" {
  description = "Two regions within the multi-region `blob_location`, for a configurable dual-region."
  type        = list(string)
  default     = []

  validation {
    condition     = contains([0, 2], length(var.blob_dual_region))
    error_message = "blob_dual_region must be two regions, or none."
  }
}

variable "firestore_location" {
  description = "Location of the Firestore database: a region, or a multi-region (eur3, nam5). Defaults to the region of the functions. It cannot be changed."
  type        = string
  default     = ""
}

variable "kms_key" {
  description = "Cloud KMS key that encrypts all stores, `projects/…/cryptoKeys/…`: layers, metadata, keys, images of functions, notifications. Defaults to Google's own keys. Firestore, Secret Manager and Artifact Registry accept a key at creation only."
  type        = string
  default     = ""

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must have the form projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "kms_keys" {
  description = "Keys by store that override `kms_key`, or `\"\"` for Google's own: of `layers`, `names`, `secrets`, `source`, `images` and `notifications`. Each key must be in the location of its store."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for store in keys(var.kms_keys) : contains(["layers", "names", "secrets", "source", "images", "notifications"], store)])
    error_message = "The stores in kms_keys must be layers, names, secrets, source, images or notifications."
  }
  validation {
    condition     = alltrue([for key in values(var.kms_keys) : key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", key))])
    error_message = "A key in kms_keys must have the form projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, or \"\" for Google's own."
  }
  # For a store in a multi-region, only Google can validate Cloud KMS's name of the location.
  validation {
    condition = alltrue([
      for store, location in {
        layers  = lower(coalesce(var.blob_location, var.region))
        names   = lower(coalesce(var.firestore_location, var.region))
        secrets = var.region
        source  = var.region
        images  = var.region
      } :
      lookup(var.kms_keys, store, var.kms_key) == "" || try(split("/", lookup(var.kms_keys, store, var.kms_key))[3], "") == location
      if can(regex("^[a-z]+-[a-z]+[0-9]+$", location))
    ])
    error_message = "A key must be in the location of the store that it encrypts: for stores in other locations, set keys in kms_keys."
  }
}

variable "soft_delete_days" {
  description = "Days for which Cloud Storage keeps, and charges for, deleted objects of the bucket of layers: 0, or 7 to 90."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "soft_delete_days must be 0, or from 7 to 90."
  }
}

variable "point_in_time_recovery" {
  description = "Whether Firestore can be read and restored as of any minute of the last seven days."
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "Retention of daily Firestore backups in days: 0 for no backups, at most 98."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_retention_days >= 0 && var.backup_retention_days <= 98
    error_message = "backup_retention_days must be from 0 to 98."
  }
}

# --- retention and clean-up -------------------------------------------------------------------------------------------

variable "collect_schedule" {
  description = "Schedule of garbage collection, in crontab format, in UTC."
  type        = string
  default     = "17 * * * *"

  validation {
    condition     = length(split(" ", var.collect_schedule)) == 5
    error_message = "collect_schedule must have five fields, for example \"17 * * * *\"."
  }
}

variable "rules_serial" {
  description = "Serial of the rules: `immutable`, `allow_missing`, `undelete`, `grace`, `cleanup`, `cleanup_mode` and `policies`. Raise it with each change of one: a registry that starts applies the rules of a higher serial, whatever they are. Without a serial, a start only makes rules stricter, and a longer `undelete` cannot be shortened, nor an immutable tag released. 0 is no serial."
  type        = number
  default     = null

  validation {
    condition     = var.rules_serial == null ? true : var.rules_serial >= 0 && var.rules_serial <= 1000000000000000 && floor(var.rules_serial) == var.rules_serial
    error_message = "rules_serial must be an integer from 0 to 1000000000000000."
  }
}

variable "immutable" {
  description = "Immutable tags, for example `prod/*:v*,!prod/*:v*-rc*`."
  type        = string
  default     = ""
}

variable "allow_missing" {
  description = "References that manifests may have without the content being pushed: `windows/*:urls` (layers with URLs), `mirror/*:sparse` (manifests of an index)."
  type        = string
  default     = ""
}

variable "undelete" {
  description = "Retention of deleted content, during which it can be restored."
  type        = string
  default     = "7d"

  validation {
    condition     = can(regex("^[0-9]{1,7}[dhms]$", var.undelete))
    error_message = "undelete must be a duration, for example 7d, 12h or 30m."
  }
}

variable "grace" {
  description = "Minimum age of unreferenced content before it is collected."
  type        = string
  default     = "24h"

  validation {
    condition     = can(regex("^[0-9]{1,7}[dhms]$", var.grace))
    error_message = "grace must be a duration, for example 7d, 12h or 30m."
  }
}

variable "cleanup" {
  description = "Clean-up policies in Artifact Registry's format, as a list of objects: `jsondecode(file(\"policies.json\"))`."
  type        = any
  default     = []

  validation {
    condition     = can([for policy in var.cleanup : policy.name])
    error_message = "cleanup must be a list of policies, each with a name."
  }
}

variable "cleanup_mode" {
  description = "Whether clean-up policies are applied, or only planned and logged."
  type        = string
  default     = "plan"

  validation {
    condition     = contains(["plan", "apply"], var.cleanup_mode)
    error_message = "cleanup_mode must be plan or apply."
  }
}

variable "policies" {
  description = "Policies of images (docs/policies.md), as a list of objects, with `pem = file(\"cosign.pub\")` for keys: `yamldecode(file(\"policies.yaml\")).policies`."
  type        = any
  default     = []

  validation {
    condition     = can([for policy in var.policies : policy.name])
    error_message = "policies must be a list of policies, each with a name."
  }
}

# --- scans ------------------------------------------------------------------------------------------------------------

variable "scan" {
  description = "Whether pushed images are scanned for packages and known vulnerabilities: a function, which Eventarc calls for each new image and Cloud Scheduler every five minutes. Beyond what Google gives for free: some $0.0002 an image, and at most $0.80 a month for the sweeps."
  type        = bool
  default     = true
}

variable "scan_memory" {
  description = "Memory of the function `scan`. The data about vulnerabilities is in it, since the disk of a function is memory: that of Ubuntu takes more than 1Gi while it is updated, and that of Debian and Alpine less than 512Mi."
  type        = string
  default     = "2Gi"
}

variable "vex_keys" {
  description = "Public keys, as PEM, by name, whose VEX documents count where they are attached to images and signed by one of these keys (docs/scanning.md, VEX). A name is shown with what its key signed."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.vex_keys) <= 20 && alltrue([for name, pem in var.vex_keys : can(regex("^[A-Za-z0-9._-]{1,64}$", name)) && can(regex("^\\s*-----BEGIN (RSA )?PUBLIC KEY-----\\s", pem))])
    error_message = "vex_keys are at most 20 public keys as PEM, which begin with -----BEGIN PUBLIC KEY-----, by names of letters, digits, dots, hyphens and underscores."
  }
}

variable "scan_keys" {
  description = "Public keys, as PEM, by name, whose SBOMs and vulnerability reports count where they are attached to images and signed by one of these keys (docs/scanning.md, Other scanners). A name is shown with what its key signed."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.scan_keys) <= 20 && alltrue([for name, pem in var.scan_keys : can(regex("^[A-Za-z0-9._-]{1,64}$", name)) && can(regex("^\\s*-----BEGIN (RSA )?PUBLIC KEY-----\\s", pem))])
    error_message = "scan_keys are at most 20 public keys as PEM, which begin with -----BEGIN PUBLIC KEY-----, by names of letters, digits, dots, hyphens and underscores."
  }
}

# --- attestations -----------------------------------------------------------------------------------------------------

variable "attest" {
  description = "Whether images of these repositories (globs, as in `prod/*`) get attestations of Binary Authorization once they pass the policies that are enforced: an attestor, a key of Cloud KMS ($0.06 a month), and a function, which Pub/Sub calls for each event and Cloud Scheduler by `schedule`. The first of `key_versions` signs, and the attestor accepts all. See docs/attestations.md."
  type = object({
    repositories     = list(string)
    schedule         = optional(string, "17 * * * *")
    key_versions     = optional(list(number), [1])
    protection_level = optional(string, "SOFTWARE")
  })
  default = null

  validation {
    condition     = var.attest == null || (try(length(var.attest.repositories), 0) > 0 && alltrue([for each in try(var.attest.repositories, []) : can(regex("^[a-z0-9._/*-]+$", each))]))
    error_message = "attest.repositories must name repositories, as in [\"prod/*\"]."
  }
  validation {
    condition     = var.attest == null || length(try(var.attest.key_versions, [])) > 0
    error_message = "attest.key_versions must have the version that signs."
  }
  validation {
    condition     = var.attest == null || var.events
    error_message = "attest needs events = true: its function is called for each event."
  }
}

# --- events -----------------------------------------------------------------------------------------------------------

variable "events" {
  description = "Whether changes of repositories are published to Pub/Sub and webhooks: a function, which Eventarc calls for each change and Cloud Scheduler every five minutes, with its topics. If false, events expire in the database."
  type        = bool
  default     = true
}

variable "notifications_topic" {
  description = "Name of an existing topic of the project, for example `gcr`, that gets notifications in Artifact Registry's format instead of NAME-notifications. It is not changed, but for the permission to publish to it."
  type        = string
  default     = ""

  validation {
    condition     = var.notifications_topic == "" || can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", var.notifications_topic))
    error_message = "notifications_topic must be the name of a topic without projects/…/topics/, for example gcr."
  }
  validation {
    condition     = var.notifications_topic == "" || var.events
    error_message = "notifications_topic requires events."
  }
}

# --- monitoring -------------------------------------------------------------------------------------------------------

variable "notification_channels" {
  description = "Cloud Monitoring channels for alerts, `projects/…/notificationChannels/…`."
  type        = list(string)
  default     = []
}

variable "uptime_check" {
  description = "Whether Cloud Monitoring checks every 15 minutes, from three continents, that the registry responds."
  type        = bool
  default     = true
}

# --- load balancer, optional ------------------------------------------------------------------------------------------

variable "domain" {
  description = "Custom domain, for example registry.example.com, served by an HTTPS load balancer. Its DNS record must point to the output `load_balancer_ip`."
  type        = string
  default     = ""

  validation {
    condition     = var.domain == "" || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a domain name, for example registry.example.com."
  }
}

variable "armor" {
  description = "Cloud Armor rules of the load balancer: the maximum requests per minute from one address, or 0 for no limit, and the address ranges that have access, or none for all. Null for no Cloud Armor, which costs a monthly fee."
  type = object({
    requests_per_minute = optional(number, 0)
    allowed_ranges      = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.armor == null || var.domain != ""
    error_message = "armor requires domain: Cloud Armor is part of the load balancer."
  }
  validation {
    condition     = try(length(var.armor.allowed_ranges), 0) <= 10
    error_message = "armor must have at most 10 address ranges, the limit of a Cloud Armor rule."
  }
}

variable "cdn_key" {
  description = "Enables Cloud CDN for layers, at `blobs.` before the domain, whose DNS record must point to `load_balancer_ip` as well: 16 random bytes in base64url (`head -c 16 /dev/urandom | base64 | tr +/ -_`), which sign the URLs of pulls. It is stored in the state. Empty for no Cloud CDN."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.cdn_key == "" || can(regex("^[A-Za-z0-9_-]{22}==$", var.cdn_key))
    error_message = "cdn_key must be 16 bytes in base64url."
  }
  validation {
    condition     = var.cdn_key == "" || (var.domain != "" && var.http2)
    error_message = "cdn_key requires domain and http2: Cloud CDN is part of the load balancer."
  }
}
