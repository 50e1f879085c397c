"""A mail server that keeps nothing (aiosmtpd).

Arguments: none, or the files of a certificate and its key; it then wants STARTTLS and a login before it takes mail. Prints its port, then a
line of JSON for each letter: sender, recipients, subject, headers, text, and whether it came over TLS. Ends with its standard input.
"""

import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Keeper:
    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": letter["subject"],
            "headers": sorted(name.lower() for name in letter.keys()),
            "id": letter["message-id"],
            "text": letter.get_content(),
            "tls": session.ssl is not None,
            "login": session.auth_data.decode() if session.auth_data else None,
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"shop", b"let me in")
    return AuthResult(success=right, handled=False, auth_data=data.login)


settings = {}
if len(sys.argv) > 1:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    settings = {"tls_context": context, "require_starttls": True, "authenticator": login, "auth_required": True}


class AnyPort(Controller):
    def _trigger_server(self):
        # The port is known only now, and no call is needed to make the server begin.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = AnyPort(Keeper(), hostname="127.0.0.1", port=0, **settings)
controller.start()
print(controller.port, flush=True)
sys.stdin.read()
