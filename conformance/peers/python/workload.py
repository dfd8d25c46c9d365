"""A workload that asks a SPIFFE Workload API by py-spiffe: x509 | watch N | jwt AUDIENCE. One line of JSON for each answer."""

import hashlib
import json
import sys
import threading

from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtSvid, WorkloadApiClient


def prints(bundle):
    return sorted(hashlib.sha256(c.public_bytes(Encoding.DER)).hexdigest() for c in bundle.x509_authorities)


def describe(context):
    svids = [
        {"id": str(s.spiffe_id), "serial": f"{s.leaf.serial_number:x}", "chain": len(s.cert_chain)}
        for s in context.x509_svids
    ]
    bundles = {b.trust_domain.name: prints(b) for b in context.x509_bundle_set.bundles}
    return {"svids": svids, "bundles": bundles}


def say(value):
    print(json.dumps(value), flush=True)


def watch(client, updates):
    done = threading.Event()
    left = [updates]

    def update(context):
        say(describe(context))
        left[0] -= 1
        if left[0] == 0:
            done.set()

    cancel = client.stream_x509_contexts(update, lambda error: say({"error": str(error)}))
    if not done.wait(110):
        sys.exit("too few updates")
    cancel.cancel()


def jwt(client, audience):
    svid = client.fetch_jwt_svid(audience={audience})
    remote = client.validate_jwt_svid(svid.token, audience)
    bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    local = JwtSvid.parse_and_validate(svid.token, bundle, {audience})
    say({"id": str(local.spiffe_id), "server": str(remote.spiffe_id), "audience": sorted(local.audience)})


def main():
    socket, verb, *rest = sys.argv[1:]
    with WorkloadApiClient(socket) as client:
        if verb == "x509":
            say(describe(client.fetch_x509_context(timeout=30)))
        elif verb == "watch":
            watch(client, int(rest[0]))
        elif verb == "jwt":
            jwt(client, rest[0])
        else:
            sys.exit(f"no such verb: {verb}")


main()
