# The keys that sign the registry's tokens, and the one under which robots' secrets are kept.

locals {
  # A key of Cloud KMS is for one region.
  replicas = local.kms.secrets == "" ? sort(setunion([var.region], var.more_regions)) : [var.region]
}

resource "google_secret_manager_secret" "keys" {
  project   = var.project_id
  secret_id = "${var.name}-keys"
  labels    = var.labels

  deletion_protection = var.deletion_protection # with the keys, all robots are lost

  # In the regions of the functions, which a policy on the locations of resources may ask for. Secret Manager takes this, and a
  # key, when it makes a secret, and never again: another secret would be an empty one.
  replication {
    user_managed {
      dynamic "replicas" {
        for_each = local.replicas
        content {
          location = replicas.value

          dynamic "customer_managed_encryption" {
            for_each = compact([local.kms.secrets])
            content {
              kms_key_name = customer_managed_encryption.value
            }
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [replication]

    postcondition {
      condition     = local.kms.secrets == "" || try(self.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name, "") == local.kms.secrets
      error_message = "The secret ${self.secret_id} was made without this key, or with another, and Secret Manager cannot change it. Leave it as it is, with kms_keys = { secrets = \"\" } or the key that it has."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# The first ones; `lading keys rotate` adds versions, of which the latest counts. They are in no plan and no state: the
# argument is write-only. Each apply makes others, and forgets them, since the version below stays as it is.
resource "google_secret_manager_secret_version" "first" {
  secret = google_secret_manager_secret.keys.id

  secret_data_wo = jsonencode({
    tokens = [{ kid = "first", key = base64sha256("${uuid()}${uuid()}${uuid()}") }]
    robots = base64sha256("${uuid()}${uuid()}${uuid()}")
  })
  secret_data_wo_version = 1

  # Who rotated twice may well disable it. Who destroys it has other keys made by the next apply, under which no robot's
  # secret is good any more.
  lifecycle {
    ignore_changes = [enabled]
  }
}
# uuid() is 122 bits of the operating system's randomness, so a key has all the 256 bits that its length holds.
