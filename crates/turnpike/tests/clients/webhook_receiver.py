"""A customer's webhook, which checks what it gets with the Standard Webhooks library.

Argument: how to answer, `ok`, `twice` (500 to the first two calls), `gone`, `redirect`, `endless`. The secret comes as the first line of the
standard input, once the webhook has been made. Prints its port, then a line of JSON for each call: path, id, verified, body.
"""

import http.server
import json
import sys
import threading

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

manner = sys.argv[1]
secret = None
known = threading.Event()
calls = 0


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global calls
        body = self.rfile.read(int(self.headers["content-length"]))
        known.wait()
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            Webhook(secret).verify(body, headers)
            verified = True
        except WebhookVerificationError:
            verified = False
        # A body that was changed on the way, or is sent for another, must not pass.
        try:
            Webhook(secret).verify(body + b" ", headers)
            verified = False
        except WebhookVerificationError:
            pass
        # In one piece: calls come at once, each in a thread of its own.
        sys.stdout.write(json.dumps({"path": self.path, "id": headers.get("webhook-id"), "verified": verified, "body": json.loads(body)}) + "\n")
        sys.stdout.flush()
        calls += 1
        status = {"gone": 410, "redirect": 302}.get(manner, 200)
        if manner == "twice" and calls <= 2:
            status = 500
        self.send_response(status)
        if manner == "redirect":
            self.send_header("location", "/elsewhere")
        if manner == "endless":
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True
            return
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
secret = sys.stdin.readline().strip()
known.set()
sys.stdin.read()
