# Settings of the registry, and their validation in the plan. The parsers, choices and bounds are read from the program's
# declarations, and an error has the program's text (tests compare the two). Otherwise a wrong value would fail the next
# start of an instance, not the apply.

locals {
  # Each declaration: the name of the setting's field, and the lines of its arguments.
  declarations = {
    for found in regexall("(?m)^    ([a-z_]+): [^=\\n]+ = setting\\(((?:.|\\n        )*)", file("${local.root}/functions/lading/settings.py")) :
    "LADING_${upper(found[0])}" => found[1]
  }
  known_settings = keys(local.declarations)

  # Settings that are set, and validated, by variables of the module, and those of the container: its front end terminates
  # TLS, the address is the one that Envoy connects to, and metrics need a package that no function has.
  decided_settings = [for name in ["access", "address", "allow_missing", "attest_repositories", "attestation_key", "attestation_note", "attester", "blobs", "cdn_key", "cleanup", "cleanup_mode", "collector", "events_topic", "folders", "grace", "immutable", "keys", "metadata", "metrics", "notifications_topic", "policies", "public", "publisher", "rules_serial", "scan", "scan_keys", "scanner", "tls_cert", "tls_key", "undelete", "unscoped_tokens", "vex_keys"] : "LADING_${upper(name)}"]

  # Settings that are known before anything is created. Empty ones are defaults.
  setting_texts = {
    for name, text in merge(local.optional, {
      LADING_UNDELETE        = var.undelete
      LADING_GRACE           = var.grace
      LADING_THREADS         = tostring(var.concurrency)
      LADING_UNSCOPED_TOKENS = var.unscoped_tokens
    }, var.settings) : name => text if text != "" && contains(local.known_settings, name)
  }

  # What a declaration parses with: the name of a parser, and its arguments, as in number(1, 1_000).
  setting_parsers = {
    for name, declared in local.declarations : name => {
      name      = try(regex("parse\\.([a-z_]+)", declared)[0], "")
      arguments = [for each in regexall("[a-z0-9_]+", try(regex("parse\\.[a-z_]+\\(([^)]*)\\)", declared)[0], "")) : replace(each, "/([0-9])_/", "$1")]
    }
  }

  setting_lists = {
    for name, text in local.setting_texts : name => [for each in split(",", text) : trimspace(each) if trimspace(each) != ""]
  }
  setting_seconds = { d = 86400, h = 3600, m = 60, s = 1 }

  setting_faults = flatten([
    for name, text in local.setting_texts : [
      for parser, fault in {
        choice = {
          found = !contains(local.setting_parsers[name].arguments, text)
          text  = try("is ${join(", ", slice(local.setting_parsers[name].arguments, 0, length(local.setting_parsers[name].arguments) - 1))} or ${reverse(local.setting_parsers[name].arguments)[0]}", "")
        }
        number = {
          found = !can(regex("^0*[0-9]{1,16}$", text)) || try(tonumber(text) < tonumber(local.setting_parsers[name].arguments[0]) || tonumber(text) > tonumber(local.setting_parsers[name].arguments[1]), false)
          text  = try("is a number from ${local.setting_parsers[name].arguments[0]} to ${local.setting_parsers[name].arguments[1]}", "")
        }
        duration = {
          found = !can(regex("^[0-9]{1,7}[dhms]$", text)) || try(tonumber(substr(text, 0, length(text) - 1)) * local.setting_seconds[substr(text, -1, 1)] > 36500 * 86400, false)
          text  = "is a time such as 90d, 12h or 30m, of 36500d at most"
        }
        interval = {
          found = text != "off" && (!can(regex("^0*[1-9][0-9]*[dhms]$", text)) || !can(regex("^[0-9]{1,7}[dhms]$", text)) || try(tonumber(substr(text, 0, length(text) - 1)) * local.setting_seconds[substr(text, -1, 1)] > 36500 * 86400, false))
          text  = "is a time such as 1h, or off"
        }
        names = {
          found = length(local.setting_lists[name]) > 500 || anytrue([for each in local.setting_lists[name] : !can(regex("^[a-z0-9._/*-]+$", each))])
          text  = "is a list of at most 500 names with commas between them"
        }
        public_url = {
          found = !can(regex("(?i)^https?://([a-z0-9._-]{1,253}|\\[[0-9a-f:.]{2,45}\\])(:[0-9]{1,5})?/*$", text)) || try(tonumber(regex(":([0-9]+)/*$", text)[0]) < 1 || tonumber(regex(":([0-9]+)/*$", text)[0]) > 65535, false)
          text  = "is http(s)://HOST[:PORT], with only ASCII in it (xn--… for a host of other letters)"
        }
        source_url = {
          found = text != "none" && !can(regex("^https?://([a-z0-9._-]{1,253}|\\[[0-9a-f:.]{2,45}\\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]{0,500})?$", text))
          text  = "is none or http(s)://HOST[:PORT][/PATH]"
        }
        repository = {
          found = length(text) > 255 || !can(regex("^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*$", text))
          text  = "is the name of a repository, as in team/app"
        }
        topic = {
          found = !can(regex("^projects/[a-z0-9.:-]{1,100}/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", text))
          text  = "is projects/PROJECT/topics/TOPIC"
        }
        networks = {
          found = length(local.setting_lists[name]) > 500 || anytrue([for each in local.setting_lists[name] : !can(cidrhost(each, 0))])
          text  = "is a list of at most 500 networks with commas between them, as in 10.0.0.0/8"
        }
        origins = {
          found = length(local.setting_lists[name]) > 500 || anytrue([for each in local.setting_lists[name] : !can(regex("^https?://([a-z0-9._-]{1,253}|\\[[0-9a-f:.]{2,45}\\])(:[0-9]{1,5})?/*$", lower(each)))])
          text  = "is a list of http(s)://HOST[:PORT] with commas between them (there is no value for all sites, whose pages would act with the credentials that browsers keep)"
        }
      } : "${name} ${fault.text}, not ${substr(text, 0, 80)}" if fault.found && parser == (local.setting_parsers[name].name == "mebibytes" ? "number" : local.setting_parsers[name].name)
    ]
  ])

  # Rules for immutable tags and for missing content, which the program parses after all settings.
  rule_forms = {
    LADING_IMMUTABLE     = { pattern = "^(![^:]+|[^:!][^:]*):[^:]+$", text = "REPOSITORY:TAG" }
    LADING_ALLOW_MISSING = { pattern = "^(![^:]+|[^:!][^:]*):(urls|sparse)$", text = "REPOSITORY:urls or REPOSITORY:sparse" }
  }
  rule_faults = flatten([
    for name, form in local.rule_forms : [
      for rule in lookup(local.setting_lists, name, []) : "${name}: ${rule} is not ${form.text}" if !can(regex(form.pattern, rule))
    ]
  ])
}
