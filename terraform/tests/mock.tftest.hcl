# An apply with a mock provider, which creates nothing and returns given values: checks the outputs.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
  mock_resource "google_service_account" {
    defaults = {
      id     = "projects/my-project-123/serviceAccounts/x@my-project-123.iam.gserviceaccount.com"
      name   = "projects/my-project-123/serviceAccounts/x@my-project-123.iam.gserviceaccount.com"
      email  = "x@my-project-123.iam.gserviceaccount.com"
      member = "serviceAccount:x@my-project-123.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_project_iam_custom_role" {
    defaults = { name = "projects/my-project-123/roles/x" }
  }
  mock_resource "google_cloudfunctions2_function" {
    defaults = { service_config = { uri = "https://x.a.run.app" } }
  }
  mock_data "google_cloud_run_v2_service" {
    defaults = { template = [{ containers = [{ image = "europe-west1-docker.pkg.dev/my-project-123/lading-functions/registry:version_1" }] }] }
  }
  mock_data "google_artifact_registry_docker_image" {
    defaults = { self_link = "europe-west1-docker.pkg.dev/my-project-123/lading-functions/registry@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }
  mock_data "google_iam_policy" {
    defaults = { policy_data = "{}" }
  }
}

mock_provider "time" {}

variables {
  project_id = "my-project-123"
}

run "outputs" {
  assert {
    condition     = output.host == "lading-123456789012.europe-west1.run.app" && output.url == "https://${output.host}"
    error_message = "The host must be Cloud Run's address of a service of that name."
  }
  assert {
    condition     = output.login == "gcloud config set artifacts/allow_unrecognized_registry true\ngcloud auth configure-docker ${output.host} --quiet\n"
    error_message = "The login commands must be in the working order."
  }
  assert {
    condition     = output.blob_bucket == "my-project-123-lading-blobs" && output.policy_bucket == "my-project-123-lading-policies" && output.database == "lading"
    error_message = "The names of the stores must describe them."
  }
  assert {
    condition     = output.keys_secret == "secret://my-project-123/lading-keys" && output.load_balancer_ip == null
    error_message = "The secret must have the form that the commands expect."
  }
  assert {
    condition     = google_cloud_run_v2_service.registry["europe-west1"].template[0].containers[0].image == data.google_artifact_registry_docker_image.built[0].self_link && data.google_artifact_registry_docker_image.built[0].image_name == "registry:version_1"
    error_message = "The service must run the image of the function's build."
  }
}

run "a_function_alone_has_its_own_address" {
  variables {
    http2 = false
  }

  assert {
    condition     = output.host == "lading-registry-123456789012.europe-west1.run.app"
    error_message = "The function itself must be the registry."
  }
}
