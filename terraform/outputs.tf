output "host" {
  description = "Host of the registry, the first part of an image name."
  value       = local.host
}

output "url" {
  description = "URL of the registry."
  value       = "https://${local.host}"
}

output "login" {
  description = "Commands that log docker in."
  value       = <<-END
    gcloud config set artifacts/allow_unrecognized_registry true
    gcloud auth configure-docker ${local.host} --quiet
  END
}

output "blob_bucket" {
  description = "Bucket of layers."
  value       = google_storage_bucket.blobs.name
}

output "policy_bucket" {
  description = "Bucket whose managed folders carry the IAM policies of repositories; null with `access = \"project\"`."
  value       = one(google_storage_bucket.policies[*].name)
}

output "database" {
  description = "Firestore database."
  value       = google_firestore_database.this.name
}

output "keys_secret" {
  description = "Secret of the keys, in the form that `lading keys rotate --keys` expects."
  value       = local.settings.LADING_KEYS
}

output "config" {
  description = "lading.toml of the registry, for commands on other machines: `terraform output -raw config > lading.toml`, in a root module with an output of this value."
  value       = local.config
}

output "service_accounts" {
  description = "Email addresses of the service accounts: registry, collect, publish, events, scan, attest, scheduler, build; null for those that `events`, `scan` and `attest` turn off."
  value = {
    publish   = one(google_service_account.publish[*].email)
    events    = one(google_service_account.events[*].email)
    scan      = one(google_service_account.scan[*].email)
    attest    = one(google_service_account.attest[*].email)
    registry  = google_service_account.registry.email
    collect   = google_service_account.collect.email
    scheduler = google_service_account.scheduler.email
    build     = google_service_account.build.email
  }
}

output "attestor" {
  description = "Attestor of Binary Authorization, as policies name it: projects/PROJECT/attestors/NAME; null without `attest`."
  value       = one([for each in google_binary_authorization_attestor.attest : "projects/${var.project_id}/attestors/${each.name}"])
}

output "events_topic" {
  description = "Pub/Sub topic of events as CloudEvents; null without `events`."
  value       = one(google_pubsub_topic.events[*].id)
}

output "dead_letter_topic" {
  description = "Pub/Sub topic for the dead letters of subscriptions to events; null without `events`."
  value       = one(google_pubsub_topic.dead[*].id)
}

output "notification_topic" {
  description = "Pub/Sub topic of notifications in Artifact Registry's format."
  value       = local.notifications_topic
  depends_on  = [google_pubsub_topic.notifications]
}

output "load_balancer_ip" {
  description = "IP address for the DNS record of the domain; null without `domain`."
  value       = one(google_compute_global_address.this[*].address)
}
