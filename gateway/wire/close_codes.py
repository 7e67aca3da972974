"""The codes with which WebSockets end (RFC 6455, 7.4.1), as far as the gateway sends or reads them."""

WENT_AWAY = 1001
NO_CODE = 1005
"""The other side ended the connection and gave no code. It is never sent."""
LOST = 1006
"""The connection broke. It is never sent."""
NOT_TEXT = 1007
FAILED = 1011
BAD_GATEWAY = 1014
