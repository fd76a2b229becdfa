# The functions' source: functions/ and storage/ of this repository, with main.py and requirements.txt at the root, where
# the buildpack looks for them. The object's name tells its content, so a change is a new object, and is deployed.

locals {
  root = "${path.module}/.."
  files = merge(
    { for file in setunion(fileset(local.root, "functions/**/*.py"), fileset(local.root, "storage/**/*.py")) : file => file },
    {
      "main.py"          = "functions/main.py"
      "requirements.txt" = "functions/requirements.txt"
    },
  )
  version = substr(sha256(jsonencode({ for name, file in local.files : name => filesha256("${local.root}/${file}") })), 0, 16)
}

# Made of contents, not of a folder: so it has neither times nor modes of this machine in it, and is the same everywhere.
data "archive_file" "source" {
  type        = "zip"
  output_path = "${path.root}/.terraform/lading/${var.name}-${local.version}.zip"

  dynamic "source" {
    for_each = local.files
    content {
      filename = source.key
      content  = file("${local.root}/${source.value}")
    }
  }
}

# The project's number, which is part of the registry's address. A bucket tells it without a further right or API.
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

  soft_delete_policy {
    retention_duration_seconds = 0 # it can be made again
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  name   = "${local.version}.zip"
  source = data.archive_file.source.output_path

  # Another release of the archive provider may pack the same files otherwise; that is no reason to send them again.
  lifecycle {
    ignore_changes = [source, detect_md5hash]
  }
}
