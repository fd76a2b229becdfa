# Sources of the functions: main.py and the package lading of functions/, the package lading_storage of storage/, and
# requirements.txt, all at the root, as the buildpack expects. The registry's requirements include Envoy (100 MB), unless it is
# a sidecar. The other functions do not need it, and share one archive, but for `scan` with its libraries: to pack hundreds of files is most of a plan's time.
# The object's name contains a hash of its content, so a change creates a new object and is deployed.

locals {
  root = "${path.module}/.."
  # Policies that name identities need the library of Sigstore, which is large.
  identities = strcontains(jsonencode(var.policies), "\"identities\"")
  code = merge(
    { for name in fileset("${local.root}/functions", "lading/**/*.py") : name => file("${local.root}/functions/${name}") },
    { for name in fileset("${local.root}/storage", "lading_storage/**/*.py") : name => file("${local.root}/storage/${name}") },
    { "main.py" = file("${local.root}/functions/main.py") },
  )
  requirements = {
    registry = join("", [for name in concat(["requirements.txt"], local.sidecar ? [] : ["requirements-envoy.txt"], local.traces ? ["requirements-traces.txt"] : [], local.identities ? ["requirements-sigstore.txt"] : []) : file("${local.root}/functions/${name}")])
    jobs     = file("${local.root}/functions/requirements.txt")
    scan     = join("", [for name in ["requirements.txt", "requirements-scan.txt"] : file("${local.root}/functions/${name}")])
  }
  sources  = { for name, text in local.requirements : name => merge(local.code, { "requirements.txt" = text }) if name != "scan" || var.scan }
  hashes   = { for name, files in local.sources : name => substr(sha256(jsonencode(files)), 0, 16) }
  archives = merge({ registry = "registry" }, { for function in local.jobs : function => function == "scan" ? "scan" : "jobs" })
  versions = { for function, name in local.archives : function => local.hashes[name] }
}

# Made of file contents, not of a folder: without this machine's timestamps and modes it is the same everywhere.
data "archive_file" "source" {
  for_each = local.sources

  type        = "zip"
  output_path = "${path.root}/.terraform/lading/${var.name}-${each.key}-${local.hashes[each.key]}.zip"

  dynamic "source" {
    for_each = each.value
    content {
      filename = source.key
      content  = source.value
    }
  }
}

# The project number, which is part of the registry's address. A bucket provides it without further permissions or APIs.
locals {
  project_number = google_storage_bucket.source.project_number
}

resource "google_storage_bucket" "source" {
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  labels                      = var.labels

  dynamic "encryption" {
    for_each = compact([local.kms.source])
    content {
      default_kms_key_name = encryption.value
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 0 # it can be rebuilt
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.blobs, google_kms_crypto_key_iam_member.source]
}

resource "google_storage_bucket_object" "source" {
  for_each = local.versions

  bucket = google_storage_bucket.source.name
  name   = "${each.key}-${each.value}.zip"
  source = data.archive_file.source[local.archives[each.key]].output_path

  # Another version of the archive provider may pack the same files differently, which is no reason to upload them again.
  lifecycle {
    ignore_changes = [source, detect_md5hash]
  }
}

moved {
  from = google_storage_bucket_object.source
  to   = google_storage_bucket_object.source["registry"]
}
