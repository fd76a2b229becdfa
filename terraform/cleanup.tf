# Validation of clean-up policies in the plan, equivalent to functions/lading/registry/cleanup/policy_json.py (tests compare
# the two). Otherwise a misspelled condition would fail the collector's next call, not the apply.

locals {
  cleanup_conditions = ["tagState", "tagPrefixes", "versionNamePrefixes", "packageNamePrefixes", "tagGlobs", "repositoryGlobs", "olderThan", "newerThan", "moreStaleThan"]
  cleanup_recent     = ["keepCount", "packageNamePrefixes", "tagGlobs", "repositoryGlobs"]
  cleanup_lists      = ["tagPrefixes", "versionNamePrefixes", "packageNamePrefixes", "tagGlobs", "repositoryGlobs"]
  cleanup_ages       = ["olderThan", "newerThan", "moreStaleThan"]

  # In gcloud's format: 30d, 12h, 1d12h, 2592000s, P30D. Between P and T, M means months.
  cleanup_age = replace(
    "(?i)^\"(P(nY)?(nM)?(nW)?(nD)?(T(nH)?(nM)?(nS)?|nH(nM)?(nS)?|nS)?|(nY)?(nW)?(nD)?T?(nH)?(nM)?(nS)?)\"$",
    "n", "[0-9]{1,12}([.][0-9]{1,9})?",
  )
  cleanup_text = "\"([^\"\\\\]|\\\\.)+\""

  cleanup_fields = [
    for policy in var.cleanup : {
      name    = try(tostring(policy.name), "")
      action  = try(lower(policy.action.type), lower(policy.action), "")
      means   = try({ for field, value in policy.condition : field => jsonencode(value) if value != null }, {})
      recent  = try({ for field, value in policy.mostRecentVersions : field => jsonencode(value) if value != null }, {})
      either  = [for field in ["condition", "mostRecentVersions"] : field if try(policy[field], null) != null]
      unknown = setsubtract(try(keys(policy), []), ["name", "action", "condition", "mostRecentVersions", "immutableTags"])
      keys    = try(keys(policy.condition), [])
      frozen  = jsonencode(try(policy.immutableTags, false))
    }
  ]

  cleanup_faults = flatten([
    length(var.cleanup) > 100 ? ["there are more than 100 policies"] : [],
    length(distinct(local.cleanup_fields[*].name)) < length(var.cleanup) ? ["two policies have the same name"] : [],
    [
      for number, policy in local.cleanup_fields : [
        for fault, found in {
          "has no name"                                                                                                     = policy.name == ""
          "has unknown fields: ${join(", ", policy.unknown)}"                                                               = length(policy.unknown) > 0
          "needs the action {type = \"Delete\"} or {type = \"Keep\"}"                                                       = !contains(["delete", "keep"], policy.action) || !try(keys(var.cleanup[number].action) == ["type"], true)
          "needs a condition or mostRecentVersions, and not both"                                                           = length(policy.either) != 1
          "has mostRecentVersions, which requires the action Keep"                                                          = policy.either == ["mostRecentVersions"] && policy.action != "keep"
          "has an unknown condition: ${join(", ", setsubtract(keys(policy.means), local.cleanup_conditions))}"              = length(setsubtract(policy.keys, local.cleanup_conditions)) > 0
          "has unknown fields in mostRecentVersions: ${join(", ", setsubtract(keys(policy.recent), local.cleanup_recent))}" = length(setsubtract(keys(policy.recent), local.cleanup_recent)) > 0
          "needs a keepCount of at least 1"                                                                                 = policy.either == ["mostRecentVersions"] && !can(regex("^[1-9][0-9]*$", policy.recent.keepCount))
          "has a tagState that is not tagged, untagged or any"                                                              = !can(regex("^\"((?i)tagged|untagged|any|(?-i)TAG_STATE_UNSPECIFIED)\"$", lookup(policy.means, "tagState", "\"any\"")))
          "has immutableTags that are not true or false, or true without the action Delete"                                 = !contains(policy.action == "delete" ? ["true", "false"] : ["false"], policy.frozen)
          "would delete everything that no policy keeps; to do that, set tagState = \"any\""                                = policy.action == "delete" && policy.either == ["condition"] && !contains(policy.keys, "tagState") && length([for value in values(policy.means) : value if value != "[]"]) == 0
          "has a list that is not a list of strings"                                                                        = anytrue([for field, value in merge(policy.means, policy.recent) : !can(regex("^\\[${local.cleanup_text}(,${local.cleanup_text})*\\]$", value)) && (value != "[]" || contains(["tagGlobs", "repositoryGlobs"], field)) if contains(local.cleanup_lists, field)])
          "has a duration that does not have the form 30d, 12h or 2592000s"                                                 = anytrue([for field, value in policy.means : !can(regex(local.cleanup_age, value)) || !can(regex("[0-9]", value)) if contains(local.cleanup_ages, field)])
        } : "policy ${policy.name == "" ? number + 1 : policy.name} ${fault}" if found
      ]
    ],
  ])
}
