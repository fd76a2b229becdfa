# Keys that sign the registry's tokens, and the key of the HMACs of robot secrets.

locals {
  # A key of Cloud KMS belongs to one region.
  replicas = local.kms.secrets == "" ? sort(setunion([var.region], var.more_regions)) : [var.region]
}

resource "google_secret_manager_secret" "keys" {
  project   = var.project_id
  secret_id = "${var.name}-keys"
  labels    = var.labels

  deletion_protection = var.deletion_protection # without the keys, no robot can log in

  # Replicated to the regions of the functions only, as an organization policy on resource locations may require. Secret
  # Manager sets replication and key at creation only: changing them would replace the secret by an empty one.
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
      error_message = "The secret ${self.secret_id} was created without this key, and Secret Manager cannot change it. Keep it unchanged: set kms_keys = { secrets = \"\" } or its current key."
    }
  }

  depends_on = [time_sleep.apis, google_kms_crypto_key_iam_member.services]
}

# The first keys. `lading keys rotate` adds versions, and the latest one is used. The keys are in no plan and no state,
# because the argument is write-only. Each apply generates new keys and discards them, because the version is unchanged.
resource "google_secret_manager_secret_version" "first" {
  secret = google_secret_manager_secret.keys.id

  secret_data_wo = jsonencode({
    tokens = [{ kid = "first", key = base64sha256("${uuid()}${uuid()}${uuid()}") }]
    robots = base64sha256("${uuid()}${uuid()}${uuid()}")
  })
  secret_data_wo_version = 1

  # After two rotations this version can be disabled. Do not destroy it: the next apply would then create new keys, which
  # invalidate the secrets of all robots.
  lifecycle {
    ignore_changes = [enabled]
  }
}
# uuid() has 122 bits of the operating system's randomness, so a key has the full 256 bits of its length.
