# Plans of the publisher of events, as plan.tftest.hcl makes them.

provider "google" {
  access_token = "offline"
}

variables {
  project_id = "my-project-123"
}

run "events" {
  command = plan

  assert {
    condition = toset([for each in google_eventarc_trigger.publish[0].matching_criteria : "${each.attribute} ${each.operator}= ${each.value}"]) == toset([
      "type = google.cloud.firestore.document.v1.created", "database = lading", "document match-path-pattern= events/{id}",
    ])
    error_message = "Each event that is created must call the function, and no other document."
  }
  assert {
    condition     = google_eventarc_trigger.publish[0].location == "europe-west1" && google_eventarc_trigger.publish[0].destination[0].cloud_run_service[0].service == "lading-publish"
    error_message = "The trigger must be where the database is."
  }
  assert {
    condition     = google_cloudfunctions2_function.publish[0].service_config[0].max_instance_count == 1 && google_cloudfunctions2_function.publish[0].service_config[0].max_instance_request_concurrency > 1
    error_message = "Two publishers at once would publish each event twice, and a call that is refused comes late."
  }
  assert {
    condition     = google_cloudfunctions2_function.publish[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" && google_cloud_run_v2_service_iam_binding.publish[0].role == "roles/run.invoker"
    error_message = "Only Eventarc and the scheduler must be able to call the publisher."
  }
  assert {
    condition     = [google_pubsub_topic.notifications.name, google_pubsub_topic.events[0].name, google_pubsub_topic.dead[0].name] == ["lading-notifications", "lading-events", "lading-events-dead"]
    error_message = "The topics must have the names that subscribers know."
  }
  assert {
    condition     = google_pubsub_subscription.dead[0].expiration_policy[0].ttl == "" && google_pubsub_subscription.dead[0].message_retention_duration == "2678400s"
    error_message = "Dead letters must be kept, and their subscription must not expire meanwhile."
  }
  assert {
    condition     = google_cloud_scheduler_job.publish[0].schedule == "*/5 * * * *"
    error_message = "A lost call of the trigger must be made good within five minutes."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.dead_letters[0].conditions[0].condition_threshold[0].filter, "resource.label.subscription_id=\"lading-events-dead\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\"")
    error_message = "An alert must open for dead letters, which are in the subscription of that name."
  }
  assert {
    condition = { for metric in google_logging_metric.publish : metric.name => metric.value_extractor } == {
      lading-events-waiting        = "EXTRACT(jsonPayload.publish.waiting)"
      lading-events-oldest-seconds = "EXTRACT(jsonPayload.publish.oldest_seconds)"
      lading-events-published      = "EXTRACT(jsonPayload.publish.published)"
      lading-deliveries-delivered  = "EXTRACT(jsonPayload.publish.deliveries.delivered)"
      lading-deliveries-failed     = "EXTRACT(jsonPayload.publish.deliveries.failed)"
      lading-deliveries-dead       = "EXTRACT(jsonPayload.publish.deliveries.dead)"
    }
    error_message = "Metrics must have what the line of publish has."
  }
  assert {
    condition     = alltrue([for metric in google_logging_metric.publish : strcontains(google_monitoring_dashboard.this.dashboard_json, "logging.googleapis.com/user/${metric.name}")])
    error_message = "Each metric must have a chart."
  }
}

run "an_existing_topic_and_a_database_in_a_multi_region" {
  command = plan

  variables {
    notifications_topic = "gcr"
    firestore_location  = "eur3"
    kms_keys            = { notifications = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k" }
  }

  override_data {
    target = data.google_pubsub_topic.existing[0]
    values = { id = "projects/my-project-123/topics/gcr" }
  }

  assert {
    condition     = google_eventarc_trigger.publish[0].location == "eur3"
    error_message = "The trigger must be where the database is."
  }
  assert {
    condition     = local.published.LADING_NOTIFICATIONS_TOPIC == "projects/my-project-123/topics/gcr" && google_pubsub_topic_iam_member.publish["notifications"].topic == "projects/my-project-123/topics/gcr"
    error_message = "The publisher must publish to the existing topic, and be allowed to."
  }
  assert {
    condition     = google_pubsub_topic.notifications.name == "lading-notifications"
    error_message = "The topic of earlier releases must stay: its subscriptions would be lost with it."
  }
  assert {
    condition     = toset([for topic in [google_pubsub_topic.notifications, google_pubsub_topic.events[0], google_pubsub_topic.dead[0]] : topic.kms_key_name]) == toset([var.kms_keys.notifications])
    error_message = "All topics must use the key."
  }
}

run "without_events" {
  command = plan

  variables {
    events = false
    scan   = false
  }

  assert {
    condition = length(concat(
      google_cloudfunctions2_function.publish, google_eventarc_trigger.publish, google_cloud_scheduler_job.publish,
      google_pubsub_topic.events, google_pubsub_topic.dead, google_pubsub_subscription.dead,
      google_service_account.publish, google_service_account.events, google_monitoring_alert_policy.not_publishing,
      google_monitoring_alert_policy.dead_letters,
    )) == 0 && length(google_pubsub_topic_iam_member.publish) == 0 && length(google_logging_metric.publish) == 0
    error_message = "Nothing of the publisher may be created."
  }
  assert {
    condition     = toset(keys(google_storage_bucket_object.source)) == toset(["registry", "collect"]) && toset(keys(google_project_iam_member.records)) == toset(["registry", "collect"]) && length(google_project_service.this) == 13
    error_message = "Neither its source, its permissions nor its service may be there."
  }
  assert {
    condition     = length([for name in keys(local.settings) : name if strcontains(name, "TOPIC") || name == "LADING_PUBLISHER"]) == 0 && google_pubsub_topic.notifications.name == "lading-notifications"
    error_message = "The registry must have no topics to publish to, and the topic of earlier releases must stay."
  }
}

run "a_topic_that_pub_sub_rejects" {
  command = plan

  variables {
    notifications_topic = "projects/my-project-123/topics/gcr"
  }

  expect_failures = [var.notifications_topic]
}

run "an_existing_topic_without_events" {
  command = plan

  variables {
    events              = false
    notifications_topic = "gcr"
  }

  # It is looked up before the variable is refused.
  override_data {
    target = data.google_pubsub_topic.existing[0]
    values = { id = "projects/my-project-123/topics/gcr" }
  }

  expect_failures = [var.notifications_topic]
}

run "settings_that_the_module_decides" {
  command = plan

  variables {
    settings = { LADING_PUBLISHER = "somebody@example.com" }
  }

  expect_failures = [var.settings]
}

run "the_example_of_cloud_build" {
  command = plan

  module {
    source = "./examples/cloud-build-on-push"
  }

  assert {
    condition     = google_cloudbuild_trigger.candidate.filter == "_TYPE == \"dev.lading.tag.moved.v1\" && _SUBJECT == \"team-a/app:candidate\""
    error_message = "Only a push of the tag must start a build."
  }
}
