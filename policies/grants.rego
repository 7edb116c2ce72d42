# METADATA
# title: What a subject holds
# description: >-
#   Shared by the three decision points. A grant names a role; a role names the operations and, for each,
#   a set of models. Everything is looked up by key: the cost does not grow with the number of grants.
package broker.grants

# The role of the subject; undefined where no grant names it, or where it acts for others:
# delegation is not granted to anybody yet.
role := data.roles[data.grants[input.subject.id].role] if input.subject.actor_chain == []

# Whether a set of models holds this one: by its exact name, or by one of the set's few patterns.
holds(models, model) if models.exact[model]

else if {
	some pattern in models.patterns
	glob.match(pattern, null, model)
}
