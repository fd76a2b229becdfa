# --- where ------------------------------------------------------------------------------------------------------------

variable "project_id" {
  description = "The project to deploy into. It needs a billing account."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id, as in my-project-123, not its number or its name."
  }
}

variable "region" {
  description = "The region of the functions."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a region, as in europe-west1, not a zone or a multi-region."
  }
}

variable "more_regions" {
  description = "Further regions that serve the registry. They need `domain`, and want multi-regional stores: see `blob_location` and `firestore_location`."
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
  description = "What the names of all resources begin with. Two registries in a project have different names."
  type        = string
  default     = "lading"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,16}[a-z0-9]$", var.name))
    error_message = "name is 4 to 18 lower-case letters, digits and hyphens, which names of databases and of service accounts leave."
  }
}

variable "labels" {
  description = "Labels for all resources that take labels."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` refuses to delete what images or robots are lost with: the database, the keys, and buckets that are not empty."
  type        = bool
  default     = true
}

# --- who may do what --------------------------------------------------------------------------------------------------

variable "access" {
  description = "Where Google IAM says who may do what: `folders`, by `repositories` below, or `project`, by the roles of Artifact Registry that are granted on the project."
  type        = string
  default     = "folders"

  validation {
    condition     = contains(["folders", "project"], var.access)
    error_message = "access is folders or project."
  }
}

variable "unscoped_tokens" {
  description = "The most that Google tokens may do whose scopes Google does not tell, which are those of federated workloads, of workforce pools, and those that a service account signed itself for an audience: `refuse`, `pull`, `push` or `delete`, and never more than IAM lets them do."
  type        = string
  default     = "pull"

  validation {
    condition     = contains(["refuse", "pull", "push", "delete"], var.unscoped_tokens)
    error_message = "unscoped_tokens is refuse, pull, push or delete."
  }
}

variable "repositories" {
  description = <<-END
    Prefixes of repositories, each with a slash at its end, and who may do what in them, as members of IAM policies:
    `readers` pull, `writers` pull and push, `admins` pull, push and delete. `team-a/` is for `team-a` and `team-a/…`. Rights add up: whoever may push to `team-a/` may push to `team-a/web/`.
  END
  type = map(object({
    readers = optional(list(string), [])
    writers = optional(list(string), [])
    admins  = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for prefix in keys(var.repositories) : can(regex("^([a-z0-9]+([._-]+[a-z0-9]+)*/)+$", prefix))])
    error_message = "A prefix of repositories is lower-case names with a slash behind each, as in team-a/ or team-a/web/."
  }
  validation {
    condition     = alltrue([for prefix in keys(var.repositories) : length(split("/", prefix)) <= 16]) && length(var.repositories) <= 500
    error_message = "Prefixes have at most 15 names, and there are at most 500 of them."
  }
  validation {
    condition = alltrue([
      for member in flatten([for each in var.repositories : [each.readers, each.writers, each.admins]]) :
      can(regex("^(user|group|serviceAccount|domain|principal|principalSet|deleted):", member))
    ])
    error_message = "Members are as in IAM policies, as in group:team@example.com. For repositories that all may pull, see public."
  }
}

variable "owners" {
  description = "Who owns the project by a folder or the organisation, as members of IAM policies: they may do everything in all repositories, as owners of the project itself may without being named, and go on managing the buckets."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.owners : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", member))])
    error_message = "owners are members as in IAM policies, as in group:platform@example.com."
  }
}

variable "public" {
  description = "Repositories that all may pull without credentials, as in `team/app` or `library/*`."
  type        = list(string)
  default     = []
}

# --- how it serves ----------------------------------------------------------------------------------------------------

variable "http2" {
  description = "Whether the image that the function's build made also runs as a Cloud Run service that speaks HTTP/2, and is the registry. If not, the function alone serves: then a request ends at 32 MiB, and so does a layer, and the function's invoker is allUsers, which some organisations forbid."
  type        = bool
  default     = true
}

variable "runtime" {
  description = "The Python that the functions run on. Tests run on 3.11."
  type        = string
  default     = "python311"

  validation {
    condition     = can(regex("^python31[1-4]$", var.runtime))
    error_message = "runtime is python311, or newer."
  }
}

variable "cpu" {
  description = "Processors of an instance of the registry."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "4", "6", "8"], var.cpu)
    error_message = "cpu is 1, 2, 4, 6 or 8: with less than one, an instance serves one request at a time."
  }
}

variable "memory" {
  description = "Memory of an instance of the registry. It needs about 150 MiB, and 1 MiB for each request."
  type        = string
  default     = "512Mi"

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory is as in 512Mi or 2Gi."
  }
}

variable "concurrency" {
  description = "Requests that an instance serves at a time. A slow upload holds one for as long as it takes."
  type        = number
  default     = 80

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency is a whole number from 1 to 1000."
  }
}

variable "min_instances" {
  description = "Instances of the registry that are always there, in each region. With 0 nothing is paid while nobody uses it, and the first request after a pause waits for a cold start."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "The most instances of the registry, in each region."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 1 && var.max_instances >= var.min_instances
    error_message = "max_instances is at least 1, and at least min_instances."
  }
}

variable "startup_cpu_boost" {
  description = "Whether a starting instance gets more processors, which shortens a cold start. Only with `http2`."
  type        = bool
  default     = true
}

variable "timeout_seconds" {
  description = "Seconds after which a request is ended, uploads of layers among them."
  type        = number
  default     = 3600

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 3600
    error_message = "timeout_seconds is from 60 to 3600."
  }
}

variable "settings" {
  description = "Further settings of the registry, by the variables that its README lists."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "LADING_")])
    error_message = "Settings are variables that begin with LADING_."
  }
  validation {
    condition     = length(setsubtract([for name in keys(var.settings) : name if startswith(name, "LADING_")], local.known_settings)) == 0
    error_message = "Unknown settings: ${join(", ", setsubtract(keys(var.settings), local.known_settings))}."
  }
  # Else a value would take effect that no variable has checked, or other stores than those that the rights are for.
  validation {
    condition     = length(setintersection(keys(var.settings), local.decided_settings)) == 0
    error_message = "The module's own variables decide about ${join(", ", setintersection(keys(var.settings), local.decided_settings))}."
  }
}

# --- where images are kept --------------------------------------------------------------------------------------------

variable "blob_location" {
  description = "Where layers are kept: a region, a multi-region (EU) or a predefined dual-region (EUR4). By default, the region of the functions: between regions, each pull would pay for traffic."
  type        = string
  default     = ""
}

variable "blob_dual_region" {
  description = "Two regions of the multi-region that `blob_location` names, for a dual-region of one's own choice."
  type        = list(string)
  default     = []

  validation {
    condition     = contains([0, 2], length(var.blob_dual_region))
    error_message = "blob_dual_region is two regions, or none."
  }
}

variable "firestore_location" {
  description = "Where names are kept: a region, or a multi-region (eur3, nam5). By default, the region of the functions. It cannot be changed."
  type        = string
  default     = ""
}

variable "kms_key" {
  description = "A key of Cloud KMS that encrypts all that is stored, `projects/…/cryptoKeys/…`: layers, names, keys, images of functions, notifications. By default, Google's own. Names, secrets and images take it when they are made, and never again."
  type        = string
  default     = ""

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key is projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "kms_keys" {
  description = "Other keys than `kms_key` by store, or `\"\"` for Google's own: of `layers`, `names`, `secrets`, `source`, `images` and `notifications`. Each key is in the location of its store."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for store in keys(var.kms_keys) : contains(["layers", "names", "secrets", "source", "images", "notifications"], store)])
    error_message = "kms_keys are by store: layers, names, secrets, source, images or notifications."
  }
  validation {
    condition     = alltrue([for key in values(var.kms_keys) : key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", key))])
    error_message = "A key of kms_keys is projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, or \"\" for Google's own."
  }
  # Where a store is in a multi-region, how Cloud KMS calls its location is left to Google to check.
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
    error_message = "A key is in the location of what it encrypts: name others in kms_keys for stores that are elsewhere."
  }
}

variable "soft_delete_days" {
  description = "Days for which Cloud Storage keeps, and charges for, what was deleted from the bucket of layers: 0, or 7 to 90."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "soft_delete_days is 0, or from 7 to 90."
  }
}

variable "point_in_time_recovery" {
  description = "Whether Firestore can be read, and restored, as it was at any minute of the last seven days."
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "Days for which a daily backup of Firestore is kept: 0 for no backups, at most 98."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_retention_days >= 0 && var.backup_retention_days <= 98
    error_message = "backup_retention_days is from 0 to 98."
  }
}

# --- upkeep -----------------------------------------------------------------------------------------------------------

variable "collect_schedule" {
  description = "When garbage is collected, as a crontab line, in UTC."
  type        = string
  default     = "17 * * * *"

  validation {
    condition     = length(split(" ", var.collect_schedule)) == 5
    error_message = "collect_schedule has five fields, as in \"17 * * * *\"."
  }
}

variable "immutable" {
  description = "Tags that cannot be moved, as in `prod/*:v*,!prod/*:v*-rc*`."
  type        = string
  default     = ""
}

variable "allow_missing" {
  description = "What manifests may name and lack: `windows/*:urls` (layers with URLs), `mirror/*:sparse` (an index's manifests)."
  type        = string
  default     = ""
}

variable "undelete" {
  description = "For how long what was deleted can be restored."
  type        = string
  default     = "7d"

  validation {
    condition     = can(regex("^[0-9]{1,7}[dhms]$", var.undelete))
    error_message = "undelete is a time, as in 7d, 12h or 30m."
  }
}

variable "grace" {
  description = "How old what nothing names must be before it is collected."
  type        = string
  default     = "24h"

  validation {
    condition     = can(regex("^[0-9]{1,7}[dhms]$", var.grace))
    error_message = "grace is a time, as in 7d, 12h or 30m."
  }
}

variable "cleanup" {
  description = "Clean-up policies in Artifact Registry's form, as a list of objects: `jsondecode(file(\"policies.json\"))`."
  type        = any
  default     = []

  validation {
    condition     = can([for policy in var.cleanup : policy.name])
    error_message = "cleanup is a list of policies, each with a name."
  }
}

variable "cleanup_mode" {
  description = "Whether clean-up policies are only planned, and told of in the log, or applied."
  type        = string
  default     = "plan"

  validation {
    condition     = contains(["plan", "apply"], var.cleanup_mode)
    error_message = "cleanup_mode is plan or apply."
  }
}

# --- what is watched --------------------------------------------------------------------------------------------------

variable "notification_channels" {
  description = "Channels of Cloud Monitoring that alerts go to, `projects/…/notificationChannels/…`."
  type        = list(string)
  default     = []
}

variable "uptime_check" {
  description = "Whether the registry is asked every 15 minutes, from three continents, if it answers."
  type        = bool
  default     = true
}

# --- in front, off by default -----------------------------------------------------------------------------------------

variable "domain" {
  description = "A domain of one's own, as in registry.example.com, served by an HTTPS load balancer. Its DNS is to name the output `load_balancer_ip`."
  type        = string
  default     = ""

  validation {
    condition     = var.domain == "" || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain is as in registry.example.com."
  }
}

variable "armor" {
  description = "Rules of Cloud Armor in front of the load balancer: how many requests a minute one address may send, or 0 for no limit, and which address ranges may come at all, or none for all. Null for no Cloud Armor, which costs a monthly fee."
  type = object({
    requests_per_minute = optional(number, 0)
    allowed_ranges      = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.armor == null || var.domain != ""
    error_message = "armor needs domain: Cloud Armor is part of the load balancer."
  }
  validation {
    condition     = try(length(var.armor.allowed_ranges), 0) <= 10
    error_message = "A rule of Cloud Armor takes 10 address ranges."
  }
}

variable "cdn_key" {
  description = "Turns Cloud CDN on for layers, at `blobs.` before the domain, whose DNS is to name `load_balancer_ip` as well: 16 random bytes in base64url (`head -c 16 /dev/urandom | base64 | tr +/ -_`), by which pulls are signed. It is kept in the state. Empty for no Cloud CDN."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.cdn_key == "" || can(regex("^[A-Za-z0-9_-]{22}==$", var.cdn_key))
    error_message = "cdn_key is 16 bytes in base64url."
  }
  validation {
    condition     = var.cdn_key == "" || (var.domain != "" && var.http2)
    error_message = "cdn_key needs domain and http2: Cloud CDN is part of the load balancer."
  }
}
