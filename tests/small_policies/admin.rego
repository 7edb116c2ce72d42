package broker.admin

default decision := {"allow": false, "rule": "subject_not_granted", "reason": "No grant."}

decision := {"allow": true, "rule": "granted", "reason": ""} if input.subject.id in data.administrators
