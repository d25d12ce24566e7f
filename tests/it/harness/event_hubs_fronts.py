"""What stands beside and before the hubs: Entra's token endpoint, an HTTP proxy, AMQP over WebSocket. Standard library."""
import asyncio
import base64
import hashlib
import json
import ssl
import struct
import threading
import time
import urllib.parse

TENANT_PATH = "/oauth2/v2.0/token"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class Fronts:
    """Listens on three ports of this machine; commands change what tokens are like."""

    def __init__(self, hubs, tokens, proxy, websocket, certificate, key, say):
        self.hubs, self.say = hubs, say
        self.audience, self.lifetime = None, 3600
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.listeners = [
            (self.token, tokens, context), (self.proxy, proxy, None), (self.websocket, websocket, context),
        ]
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        for serve, port, context in self.listeners:
            await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
        ready.set()
        await asyncio.Event().wait()

    async def head(self, reader):
        text = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.strip().split("\r\n")
        return first.split(" "), {key.lower(): value.strip() for key, value in (line.split(":", 1) for line in lines)}

    async def token(self, reader, writer):
        """RFC 6749 §4.4; the signature is not one."""
        (_, path, _), fields = await self.head(reader)
        form = dict(urllib.parse.parse_qsl((await reader.readexactly(int(fields["content-length"]))).decode()))
        assert path.endswith(TENANT_PATH) and form["grant_type"] == "client_credentials", (path, form)
        audience = self.audience or form["scope"].removesuffix("/.default")
        claims = {"aud": audience, "exp": time.time() + self.lifetime}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
        body = json.dumps({"token_type": "Bearer", "expires_in": self.lifetime, "access_token": ".".join(parts) + ".x"})
        self.say("issued", audience)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                     f"Connection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async def proxy(self, reader, writer):
        (method, target, _), _ = await self.head(reader)
        self.say("proxied", method, target)
        host, port = target.rsplit(":", 1)
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def websocket(self, reader, writer):
        """RFC 6455, the server's side; what is inside goes to the hubs."""
        (_, path, _), fields = await self.head(reader)
        self.say("websocket", path, fields.get("sec-websocket-protocol"))
        accept = base64.b64encode(hashlib.sha1((fields["sec-websocket-key"] + MAGIC).encode()).digest()).decode()
        writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: amqp\r\n\r\n".encode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        there, back = await asyncio.open_connection("127.0.0.1", self.hubs, ssl=context)
        await asyncio.gather(self.unframe(reader, writer, back), self.frame(there, writer))

    async def unframe(self, reader, writer, to):
        try:
            while True:
                first, second = await reader.readexactly(2)
                length = second & 0x7F
                if length == 126:
                    length, = struct.unpack(">H", await reader.readexactly(2))
                elif length == 127:
                    length, = struct.unpack(">Q", await reader.readexactly(8))
                assert second & 0x80, "a client masks (§5.3)"
                mask = await reader.readexactly(4)
                content = bytes(byte ^ mask[n % 4] for n, byte in enumerate(await reader.readexactly(length)))
                code = first & 0x0F
                if code == 8:
                    break
                assert code in (0, 2, 10), f"opcode {code}"
                if code != 10:
                    to.write(content)
                    await to.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        to.close()

    async def frame(self, reader, writer):
        """Messages of any size, cut without regard to AMQP frames, with a ping now and then."""
        try:
            n = 0
            while content := await reader.read(50_000):
                n += 1
                if n % 10 == 0:
                    writer.write(b"\x89\x02hi")
                length = bytes([len(content)]) if len(content) < 126 else b"\x7e" + struct.pack(">H", len(content))
                writer.write(b"\x82" + length + content)
                await writer.drain()
        except OSError:
            pass
        writer.close()


async def copy(reader, writer):
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass
    writer.close()
