# Validation of policies of images in the plan, nearly equivalent to functions/lading/policies/policy_fields.py (tests
# compare the two). Otherwise a misspelled word would fail the next start of an instance, not the apply. What a PEM
# contains, and whether two entries are the same, is checked by the instance alone.

locals {
  policy_requirements = { signatures = "table", scan = "table", image = "table" }

  # The fields of each table, and their forms. Those with a ! are required.
  policy_fields = {
    policy = merge(local.policy_requirements, {
      "name"    = "name!", "repositories" = "repositories!", "tags" = "tags", "mode" = "mode", "exempt" = "principals", "breakGlass" = "principals",
      "onError" = "reaction", "gateRollback" = "flag", "anyOf" = "tables", "push" = "table", "exceptions" = "tables",
    })
    alternative = local.policy_requirements
    signatures  = { keys = "tables", certificates = "tables", identities = "tables", allOf = "flag" }
    key         = { name = "text!", pem = "key!" }
    certificate = { name = "text!", pem = "certificate!", subject = "text" }
    identity    = { name = "text", issuer = "issuer!", subject = "text", subjectGlob = "text" }
    scan = {
      required    = "set", maxAge = "duration", maximumFixableSeverity = "severity", maximumUnfixableSeverity = "severity",
      allowedCves = "tables", blockKnownExploited = "flag", sbom = "sbom",
    }
    cve       = { id = "cve!", until = "until!", reason = "text!" }
    image     = { maxAge = "duration", minAge = "duration" }
    push      = { mediaTypes = "types", requiredLabels = "texts", maximumSize = "size" }
    exception = { image = "reference!", until = "until!", reason = "text!" }
  }

  policy_text = "\"([^\"\\\\]|\\\\.)+\""

  # Of values as JSON.
  policy_forms = {
    table        = "^\\{.+\\}$"
    tables       = "^\\[\\{.+\\}\\]$"
    flag         = "^(true|false)$"
    set          = "^true$"
    name         = "^\"[a-z0-9-]{1,40}\"$"
    text         = "^${local.policy_text}$"
    texts        = "^\\[${local.policy_text}(,${local.policy_text})*\\]$"
    repositories = "^\\[(\"!?[a-z0-9._/*-]+\",)*\"[a-z0-9._/*-]+\"(,\"!?[a-z0-9._/*-]+\")*\\]$"
    tags         = "^\\[(\"!?[A-Za-z0-9._*-]+\",)*\"[A-Za-z0-9._*-]+\"(,\"!?[A-Za-z0-9._*-]+\")*\\]$"
    principals   = "^\\[\"[^*\"\\\\]+\"(,\"[^*\"\\\\]+\")*\\]$"
    types        = "^\\[\"[A-Za-z0-9!#$^_.+*/-]+\"(,\"[A-Za-z0-9!#$^_.+*/-]+\")*\\]$"
    mode         = "^\"(enforce|audit)\"$"
    reaction     = "^\"(deny|allow)\"$"
    severity     = "^\"(critical|high|medium|low|negligible|none)\"$"
    sbom         = "^\"required\"$"
    duration     = "^\"[1-9][0-9]{0,5}[dhms]\"$"
    size         = "^\"[1-9][0-9]{0,11}(B|KiB|MiB|GiB|TiB)\"$"
    until        = "^\"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?\"$"
    cve          = "^\"[A-Za-bd-z0-9][A-Za-z0-9.:_-]*\"$"
    issuer       = "^\"https://[^ /\"]+[^ \"]*\"$"
    reference    = "^\"[a-z0-9]+[a-z0-9._/-]*(@sha(256:[0-9a-f]{64}|512:[0-9a-f]{128}))?\"$"
    key          = "^\"(\\\\n)*-----BEGIN PUBLIC KEY-----"
    certificate  = "^\"(\\\\n)*-----BEGIN CERTIFICATE-----"
  }

  policy_sets = concat(
    [for each in var.policies : { place = "policy ${try(each.name, "?")}", table = each }],
    flatten([for each in var.policies : [for set in try(each.anyOf, []) : [{ place = "policy ${try(each.name, "?")}, anyOf", table = set }]]]),
  )
  policy_signatures = [for each in local.policy_sets : { place = "${each.place}, signatures", table = each.table.signatures } if can(keys(each.table.signatures))]
  policy_scans      = [for each in local.policy_sets : { place = "${each.place}, scan", table = each.table.scan } if can(keys(each.table.scan))]

  # All tables, with the names of their fields.
  policy_tables = flatten(concat(
    [for each in var.policies : [{ kind = "policy", place = "policy ${try(each.name, "?")}", values = try({ for field, value in each : field => jsonencode(value) }, {}) }]],
    [for each in slice(local.policy_sets, length(var.policies), length(local.policy_sets)) : [{ kind = "alternative", place = each.place, values = try({ for field, value in each.table : field => jsonencode(value) }, {}) }]],
    [for each in local.policy_signatures : [{ kind = "signatures", place = each.place, values = { for field, value in each.table : field => jsonencode(value) } }]],
    [for kind, list in { key = "keys", certificate = "certificates", identity = "identities" } : [
      for each in local.policy_signatures : [for table in try(each.table[list], []) : { kind = kind, place = "${each.place}, ${list}", values = try({ for field, value in table : field => jsonencode(value) }, {}) }]
    ]],
    [for each in local.policy_scans : [{ kind = "scan", place = each.place, values = { for field, value in each.table : field => jsonencode(value) } }]],
    [for each in local.policy_scans : [for table in try(each.table.allowedCves, []) : { kind = "cve", place = "${each.place}, allowedCves", values = try({ for field, value in table : field => jsonencode(value) }, {}) }]],
    [for each in local.policy_sets : [for table in [each.table.image] : { kind = "image", place = "${each.place}, image", values = { for field, value in table : field => jsonencode(value) } }] if can(keys(each.table.image))],
    [for each in var.policies : [{ kind = "push", place = "policy ${try(each.name, "?")}, push", values = { for field, value in each.push : field => jsonencode(value) } }] if can(keys(each.push))],
    [for each in var.policies : [for table in try(each.exceptions, []) : { kind = "exception", place = "policy ${try(each.name, "?")}, exceptions", values = try({ for field, value in table : field => jsonencode(value) }, {}) }]],
  ))

  policy_faults = flatten([
    length(var.policies) > 100 ? ["there are more than 100 policies"] : [],
    length(distinct([for each in var.policies : try(tostring(each.name), "")])) < length(var.policies) ? ["two policies have the same name"] : [],
    length(jsonencode(var.policies)) > 65000 ? ["the policies have more than 64 KiB"] : [],
    [for each in local.policy_tables : [
      [for field in setsubtract(keys(each.values), keys(local.policy_fields[each.kind])) : "${each.place}: there is no ${field}; there are ${join(", ", keys(local.policy_fields[each.kind]))}"],
      [for field, form in local.policy_fields[each.kind] : "${each.place} needs ${field}" if endswith(form, "!") && !contains(keys(each.values), field)],
      [
        for field, form in local.policy_fields[each.kind] : "${each.place}: ${field} is wrong: ${substr(each.values[field], 0, 60)}"
        if contains(keys(each.values), field) && !can(regex(local.policy_forms[trimsuffix(form, "!")], try(each.values[field], "")))
      ],
      each.kind == "policy" && length(setintersection(keys(each.values), ["signatures", "scan", "image", "anyOf", "push"])) == 0 ? ["${each.place} requires nothing"] : [],
      each.kind == "signatures" && length(setintersection(keys(each.values), ["keys", "certificates", "identities"])) == 0 ? ["${each.place} has no signers"] : [],
      each.kind == "identity" && contains(keys(each.values), "subject") == contains(keys(each.values), "subjectGlob") ? ["${each.place} needs subject or subjectGlob, and not both"] : [],
      each.kind == "scan" && keys(each.values) == ["allowedCves"] ? ["${each.place} requires nothing"] : [],
    ]],
  ])
}
