output "host" {
  description = "The registry's host, as it stands before the name of an image."
  value       = local.host
}

output "url" {
  description = "The registry's address."
  value       = "https://${local.host}"
}

output "login" {
  description = "The lines that log docker in."
  value       = <<-END
    gcloud config set artifacts/allow_unrecognized_registry true
    gcloud auth configure-docker ${local.host} --quiet
  END
}

output "blob_bucket" {
  description = "The bucket of layers."
  value       = google_storage_bucket.blobs.name
}

output "policy_bucket" {
  description = "The bucket whose managed folders say who may do what; null with `access = \"project\"`."
  value       = one(google_storage_bucket.policies[*].name)
}

output "database" {
  description = "The Firestore database."
  value       = google_firestore_database.this.name
}

output "keys_secret" {
  description = "The secret of keys, as `lading keys rotate --keys` takes it."
  value       = local.settings.LADING_KEYS
}

output "service_accounts" {
  description = "The e-mail addresses of the service accounts: registry, collect, scheduler, build."
  value = {
    registry  = google_service_account.registry.email
    collect   = google_service_account.collect.email
    scheduler = google_service_account.scheduler.email
    build     = google_service_account.build.email
  }
}

output "notification_topic" {
  description = "The Pub/Sub topic of notifications."
  value       = google_pubsub_topic.notifications.id
}

output "load_balancer_ip" {
  description = "The address that the domain's DNS is to name; null without `domain`."
  value       = one(google_compute_global_address.this[*].address)
}
