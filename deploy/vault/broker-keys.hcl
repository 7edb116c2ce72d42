# What an operator needs for `broker keys`, and nothing else. It cannot read a key.

# import, rotate: a new version is written; none is ever read back.
path "secret/data/openai/*" { capabilities = ["create", "update"] }

# list: the names of the credentials.
path "secret/metadata/openai/" { capabilities = ["list"] }

# list: versions and their state. quarantine, release: custom metadata beside what is there.
path "secret/metadata/openai/*" { capabilities = ["read", "patch"] }
