# What one broker may do in Vault, and nothing else: KV version 2 at `secret`, keys below `openai`. Made by
# `broker vault init`; `broker doctor` checks it line by line.

# The keys themselves: one read per version and credential, and one in each half hold (30 s).
path "secret/data/openai/*" { capabilities = ["read"] }

# Which version is current, and whether it is deleted or quarantined: once a second per credential in use.
# That is how a rotation is seen within a second without the key's leaving Vault each time. No list: names
# come from policy.
path "secret/metadata/openai/*" { capabilities = ["read"] }

# The broker's own token, renewed at two thirds of its life. Named here, so that roles can do without Vault's
# `default` policy (token_no_default_policy=true), which also opens cubbyholes, wrapping and identity.
path "auth/token/renew-self" { capabilities = ["update"] }

# At shutdown, and where a token is replaced, the old one is ended: none lies around until it expires.
path "auth/token/revoke-self" { capabilities = ["update"] }

# [vault] certify: Transit signs a statement about each new key, and one checkpoint a minute. Only this key,
# and only to sign: it can be neither rotated nor deleted nor configured.
path "transit/sign/broker" { capabilities = ["update"] }

# Its public halves, and whether it can be exported; nothing secret is in the answer. The broker checks what
# Transit signed before a log, which forgets nothing, takes it. It refuses a key that could have left Vault.
path "transit/keys/broker" { capabilities = ["read"] }

# [vault] pki_role: the certificate of the listeners, for a private key that the broker makes and keeps. Only
# this role, and only to sign a request: `issue`, where Vault makes the private key, is another path.
path "pki/sign/broker" { capabilities = ["update"] }

# `broker doctor` asks which of these lines the broker has, and whether it has more. It tells of nobody else's
# rights.
path "sys/capabilities-self" { capabilities = ["update"] }

# Not here, because Vault answers these without a token: auth/*/login, sys/wrapping/lookup. And not
# sys/wrapping/unwrap: the wrapping token itself may do that.
