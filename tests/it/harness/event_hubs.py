"""An Event Hubs namespace on Qpid Proton, for tests: AMQP 1.0 over TLS.

event_hubs.py PORT,TOKENS,PROXY,WEBSOCKET CERTIFICATE KEY NAMESPACE SAS_KEY PARTITIONS HUB...

The four are ports; for the last three see event_hubs_fronts.py.

Lines on standard input are commands:
  append HUB PARTITION STREAM FIRST COUNT   numbered events
  body HUB PARTITION BASE64                 one event with this body
  padding BYTES                             so many blanks in later numbered events
  load HUB FILE N                           the lines of a file, N in a message, over all partitions in turn
  sections HUB PARTITION BASE64             one event: its annotations, then these encoded sections
  bare HUB PARTITION BASE64                 one event: these encoded sections alone
  hole HUB PARTITION                        a number that no event has
  omit SEQUENCE                             the event with this number is left out, once
  trim HUB PARTITION SEQUENCE               retention removes what is before
  clock MILLISECONDS                        when later events are stored, since 1970
  make HUB                                  one more hub
  anew HUB                                  the hub is deleted and made again, empty
  audience NAME | lifetime SECONDS          of later Entra tokens
  detach | drop | busy N | silence on|off   faults: links, sockets, refused attaches, no events at all
What it does is told on standard output.
"""
import base64
import hashlib
import hmac
import json
import re
import struct
import sys
import threading
import time
import urllib.parse

from proton import UNDESCRIBED, Array, Condition, Data, Endpoint, Message, SSLDomain, Terminus, int32, symbol, timestamp
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

from event_hubs_fronts import Fronts

PORTS, CERTIFICATE, KEY, NAMESPACE, SAS_KEY, PARTITIONS = sys.argv[1:7]
PORT, *BESIDE = map(int, PORTS.split(","))
HUBS = sys.argv[7:]


def say(*words):
    print(*words, flush=True)


class Partition:
    def __init__(self):
        self.first = 0
        self.events = []  # (kind, content, enqueued in milliseconds)
        self.receivers = []

    def end(self):
        return self.first + len(self.events)

    def encoded(self, number):
        """Message annotations and one data section, AMQP 1.0 part 3 §3.2."""
        kind, content, enqueued = self.events[number - self.first]
        if kind == "bare":
            return content
        name = lambda text: b"\xa3" + bytes([len(text)]) + text
        offset = str(offset_of(number)).encode()
        pairs = (
            name(b"x-opt-sequence-number") + b"\x81" + struct.pack(">q", number)
            + name(b"x-opt-offset") + b"\xa1" + bytes([len(offset)]) + offset
            + name(b"x-opt-enqueued-time") + b"\x83" + struct.pack(">q", enqueued)
        )
        annotations = b"\x00\x53\x72\xd1" + struct.pack(">II", len(pairs) + 4, 6) + pairs
        if kind == "sections":
            return annotations + content
        return annotations + b"\x00\x53\x75\xb0" + struct.pack(">I", len(content)) + content


def offset_of(number):
    return number * 100


class Receiver:
    def __init__(self, link, partition, following, epoch, name):
        self.link, self.partition, self.next = link, partition, following
        self.epoch, self.name = epoch, name


class Hubs(MessagingHandler):
    def __init__(self):
        super().__init__(prefetch=500, auto_settle=True)
        self.hubs = {hub: [Partition() for _ in range(int(PARTITIONS))] for hub in HUBS}
        self.grants = {}  # connection name -> {audience: expiry}
        self.connections = []
        self.replies = []  # (connection, address of the client, link)
        self.refusals = []  # (link, condition)
        self.busy = 0
        self.silent = False
        self.clock = None
        self.padding = 0
        self.omitted = None

    def on_start(self, event):
        domain = SSLDomain(SSLDomain.MODE_SERVER)
        domain.set_credentials(CERTIFICATE, KEY, None)
        self.container = event.container
        self.injector = EventInjector()
        event.container.selectable(self.injector)
        event.container.listen(f"amqps://127.0.0.1:{PORT}", ssl_domain=domain)
        event.container.schedule(0.1, self)
        self.fronts = Fronts(PORT, *BESIDE, CERTIFICATE, KEY, say)
        threading.Thread(target=self.commands, daemon=True).start()
        say("listening")

    def commands(self):
        for line in sys.stdin:
            self.injector.trigger(ApplicationEvent("command", subject=line.split()))
        self.injector.trigger(ApplicationEvent("command", subject=["end"]))

    def on_command(self, event):
        word, *rest = event.subject
        say("command", *event.subject[:3])
        now = self.clock or int(time.time() * 1000)
        if word == "append":
            hub, number, stream, first, count = rest
            for n in range(int(first), int(first) + int(count)):
                body = b'{"records":[{"stream":"%s","n":%d}%s]}' % (stream.encode(), n, b" " * self.padding)
                self.hubs[hub][int(number)].events.append(("body", body, now))
        elif word == "load":
            with open(rest[1], "rb") as file:
                lines = [line.rstrip() for line in file]
            partitions, n_each = self.hubs[rest[0]], int(rest[2])
            for at in range(0, len(lines), n_each):
                partition = partitions[at // n_each % len(partitions)]
                partition.events.append(("body", b'{"records":[' + b",".join(lines[at:at + n_each]) + b"]}", now))
                # Not with every delivery: sending is what is measured.
                partition.events[-1] = ("bare", partition.encoded(partition.end() - 1), now)
            say("loaded", len(lines))
        elif word in ("body", "sections", "bare"):
            content = base64.b64decode("".join(rest[2:]))
            self.hubs[rest[0]][int(rest[1])].events.append((word, content, now))
        elif word == "trim":
            partition = self.hubs[rest[0]][int(rest[1])]
            gone = max(0, int(rest[2]) - partition.first)
            del partition.events[:gone]
            partition.first += gone
        elif word == "hole":
            self.hubs[rest[0]][int(rest[1])].events.append(("hole", b"", now))
        elif word == "omit":
            self.omitted = int(rest[0])
        elif word == "padding":
            self.padding = int(rest[0])
        elif word == "clock":
            self.clock = int(rest[0])
        elif word == "audience":
            self.fronts.audience = rest[0]
        elif word == "lifetime":
            self.fronts.lifetime = int(rest[0])
        elif word == "make":
            self.hubs[rest[0]] = [Partition() for _ in range(int(PARTITIONS))]
        elif word == "anew":
            self.detach_all("amqp:not-found")
            self.hubs[rest[0]] = [Partition() for _ in range(int(PARTITIONS))]
        elif word == "detach":
            self.detach_all("amqp:link:detach-forced")
        elif word == "drop":
            for connection in list(self.connections):
                self.drop(connection)
        elif word == "busy":
            self.busy = int(rest[0])
        elif word == "silence":
            self.silent = rest[0] == "on"
        elif word == "end":
            sys.exit(0)
        self.send_all()

    def receivers(self):
        return [r for hub in self.hubs.values() for partition in hub for r in partition.receivers]

    def detach_all(self, condition):
        for receiver in self.receivers():
            self.detach(receiver, condition)

    def detach(self, receiver, condition, text="by a test"):
        if receiver in receiver.partition.receivers:
            receiver.partition.receivers.remove(receiver)
        if receiver.link.state & Endpoint.LOCAL_ACTIVE:
            receiver.link.condition = Condition(condition, text)
            receiver.link.close()
        say("detached", condition)

    def drop(self, connection):
        self.forget(connection)
        if connection.transport:
            connection.transport.close_head()
            connection.transport.close_tail()
        say("dropped")

    def forget(self, connection):
        self.connections = [other for other in self.connections if other != connection]
        self.replies = [reply for reply in self.replies if reply[0] != connection]
        for receiver in self.receivers():
            if receiver.link.connection == connection:
                receiver.partition.receivers.remove(receiver)

    def on_connection_opened(self, event):
        self.connections.append(event.connection)

    def on_connection_closed(self, event):
        self.forget(event.connection)

    def on_transport_closed(self, event):
        if event.connection:
            self.forget(event.connection)

    on_disconnected = on_transport_closed

    def on_timer_task(self, event):
        now = time.time()
        for receiver in self.receivers():
            if self.expiry(receiver.link.connection, receiver.name) < now:
                self.detach(receiver, "amqp:unauthorized-access", "ExpiredToken")
        self.container.schedule(0.1, self)

    # Links

    def on_link_opening(self, event):
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        address = (link.remote_source if link.is_sender else link.remote_target).address or ""
        if address in ("$cbs", "$management"):
            if link.is_sender:
                self.replies.append((link.connection, link.remote_target.address, link))
        elif link.is_sender:
            self.attach(link, address)
        else:
            self.refuse(link, "amqp:not-allowed", "nothing is sent here")

    def attach(self, link, address):
        found = re.fullmatch(r"amqps://([^/]+)/([^/]+)/ConsumerGroups/([^/]+)/Partitions/(\d+)", address)
        if self.busy > 0:
            self.busy -= 1
            busy = "com.microsoft:server-busy" if self.busy % 2 else "amqp:resource-limit-exceeded"
            return self.refuse(link, busy, "wait")
        if not found or found[1] != NAMESPACE or found[2] not in self.hubs:
            return self.refuse(link, "amqp:not-found", "no such hub")
        partitions = self.hubs[found[2]]
        if int(found[4]) >= len(partitions):
            return self.refuse(link, "amqp:not-found", "no such partition")
        if self.expiry(link.connection, address) < time.time():
            return self.refuse(link, "amqp:unauthorized-access", "no token for it")
        partition = partitions[int(found[4])]
        epoch = (link.remote_properties or {}).get(symbol("com.microsoft:epoch"))
        for other in list(partition.receivers):
            if other.epoch is not None and (epoch is None or epoch < other.epoch):
                return self.refuse(link, "amqp:link:stolen", "a receiver with a higher epoch is there")
            if epoch is not None:
                self.detach(other, "amqp:link:stolen")
        following = self.following(link, partition)
        say("attach", found[2], found[4], following, epoch)
        partition.receivers.append(Receiver(link, partition, following, epoch, address))

    def refuse(self, link, condition, text):
        """Part 2 §2.6.3: an attach without a source, and a detach that says why."""
        say("refused", condition)
        if condition != "com.microsoft:server-busy":  # That one is told by the detach alone.
            link.source.type = Terminus.UNSPECIFIED
        self.refusals.append((link, Condition(condition, text)))

    def on_link_local_open(self, event):
        # Not before: Proton opens a link after `on_link_opening`, which would undo a close.
        for refusal in [refusal for refusal in self.refusals if refusal[0] == event.link]:
            self.refusals.remove(refusal)
            event.link.condition = refusal[1]
            event.link.close()

    def following(self, link, partition):
        """The first event that the selector lets through."""
        filters = link.remote_source.filter
        filters.rewind()
        found = filters.get_object() if filters.next() else {}
        text = next((str(value.value) for value in found.values()), "amqp.annotation.x-opt-offset > '-1'")
        key, sign, value = re.fullmatch(r"amqp\.annotation\.x-opt-([a-z-]+) (>=?) '?([^']*)'?", text).groups()
        if value == "@latest":
            return partition.end()
        least = int(value) + (0 if sign == ">=" else 1)
        for number in range(partition.first, partition.end()):
            have = {
                "offset": offset_of(number), "sequence-number": number,
                "enqueued-time": partition.events[number - partition.first][2],
            }[key]
            if have >= least:
                return number
        return partition.end()

    def on_link_closing(self, event):
        for receiver in self.receivers():
            if receiver.link == event.link:
                receiver.partition.receivers.remove(receiver)

    def on_link_remote_detach(self, event):
        self.on_link_closing(event)
        event.link.detach()

    def on_link_flow(self, event):
        self.send_all(event.link)

    def on_sendable(self, event):
        self.send_all(event.link)

    def send_all(self, only=None):
        if self.silent:
            return
        for receiver in self.receivers():
            link = receiver.link
            if only is not None and link != only:
                continue
            receiver.next = max(receiver.next, receiver.partition.first)
            while link.credit > 0 and receiver.next < receiver.partition.end():
                if receiver.partition.events[receiver.next - receiver.partition.first][0] == "hole":
                    receiver.next += 1
                    continue
                if receiver.next == self.omitted:
                    self.omitted = None
                    receiver.next += 1
                    continue
                delivery = link.delivery(str(receiver.next))
                link.stream(receiver.partition.encoded(receiver.next))
                link.advance()
                delivery.settle()
                receiver.next += 1

    # Requests

    def expiry(self, connection, address):
        for other, granted in self.grants.items():
            if other == connection.remote_container:
                fits = [expiry for name, expiry in granted.items() if address.startswith(name)]
                return max(fits, default=0)
        return 0

    def on_message(self, event):
        request, connection = event.message, event.connection
        properties = request.properties or {}
        if event.link.remote_target.address == "$cbs":
            status, text = self.put_token(connection, properties, request.body)
            body = None
        else:
            status, text, body = self.read(connection, properties)
        if status >= 300:
            say("status", status, text)
        answer = Message(body=body, correlation_id=request.id, inferred=False)
        answer.properties = {
            "status-code": int32(status), "status-description": text,
            "statusCode": int32(status),
        }
        for other, address, link in self.replies:
            if other == connection and address == request.reply_to:
                link.send(answer)

    def put_token(self, connection, properties, body):
        name, kind = properties.get("name", ""), properties.get("type")
        if not name.startswith(f"amqps://{NAMESPACE}/"):
            return 401, "the name is not one of this namespace"
        if kind == "jwt":
            payload = body.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            audience, expiry = claims.get("aud"), claims.get("exp", 0)
            if audience != "https://eventhubs.azure.net":
                return 401, "InvalidAudience"
        elif kind == "servicebus.windows.net:sastoken":
            parts = dict(pair.split("=", 1) for pair in body.split(" ", 1)[1].split("&"))
            signed = hmac.new(SAS_KEY.encode(), f"{parts['sr']}\n{parts['se']}".encode(), hashlib.sha256)
            if not hmac.compare_digest(base64.b64encode(signed.digest()).decode(), urllib.parse.unquote(parts["sig"])):
                return 401, "InvalidSignature"
            resource = urllib.parse.unquote(parts["sr"])
            if not name.lower().split("://")[1].startswith(resource.lower().split("://")[1]):
                return 401, "InvalidAudience"
            expiry = int(parts["se"])
        else:
            return 400, "unknown type of token"
        if expiry <= time.time():
            return 401, "ExpiredToken"
        self.grants.setdefault(connection.remote_container, {})[name] = expiry
        say("token", kind)
        return 202, "Accepted"

    def read(self, connection, properties):
        hub, kind = properties.get("name"), properties.get("type")
        if properties.get("operation") != "READ":
            return 400, "unknown operation", None
        if self.expiry(connection, f"amqps://{NAMESPACE}/{hub}/$management") < time.time():
            return 401, "no token for it", None
        if hub not in self.hubs:
            return 404, "no such hub", None
        partitions = self.hubs[hub]
        if kind == "com.microsoft:eventhub":
            ids = [str(number) for number in range(len(partitions))]
            return 200, "OK", {
                "name": hub, "type": kind, "created_at": timestamp(0), "partition_count": int32(len(ids)),
                "partition_ids": Array(UNDESCRIBED, Data.STRING, *ids),
            }
        partition = partitions[int(properties["partition"])]
        last = partition.end() - 1
        return 200, "OK", {
            "name": hub, "type": kind, "partition": properties["partition"],
            "begin_sequence_number": partition.first, "last_enqueued_sequence_number": last,
            "last_enqueued_offset": str(offset_of(last)) if last >= 0 else "-1",
            "last_enqueued_time_utc": timestamp(partition.events[-1][2] if partition.events else 0),
            "is_partition_empty": not partition.events,
        }


Container(Hubs()).run()
