"""The broker: a zero-trust credential broker and policy engine in front of the OpenAI API.

The policy engine's native library is loaded here, before any other. Where grpc, protobuf or hyperscan come
first, their copy of the C++ runtime serves it too, and it then leaks 17 KB a decision
(measured, regopy 1.5.2).
"""

import regopy  # noqa: F401 - for its native library, see above
