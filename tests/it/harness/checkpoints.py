"""The blob checkpoint store of the Azure SDK for Python, as another reader of the same hub has it.

checkpoints.py URL CONTAINER KEY_FILE NAMESPACE HUB GROUP COMMAND...

  ownership                          who reads what: a JSON object, owner by partition
  checkpoints                        how far: a JSON object, [sequence number, offset] by partition
  update PARTITION SEQUENCE OFFSET   writes a checkpoint
  claim OWNER PARTITION...           claims partitions over what is there; prints those it has got
"""
import json
import sys

from azure.core.credentials import AzureNamedKeyCredential
from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore

url, container, key_file, namespace, hub, group, command, *rest = sys.argv[1:]
key = AzureNamedKeyCredential("devstoreaccount1", open(key_file).read())
store = BlobCheckpointStore(url, container, credential=key)
place = {"fully_qualified_namespace": namespace, "eventhub_name": hub, "consumer_group": group}

if command == "ownership":
    print(json.dumps({known["partition_id"]: known["owner_id"] for known in store.list_ownership(*place.values())}))
elif command == "checkpoints":
    print(json.dumps({
        known["partition_id"]: [known["sequence_number"], known["offset"]]
        for known in store.list_checkpoints(*place.values())
    }))
elif command == "update":
    partition, sequence, offset = rest
    store.update_checkpoint({**place, "partition_id": partition, "sequence_number": int(sequence), "offset": offset})
elif command == "claim":
    owner, *partitions = rest
    known = {known["partition_id"]: known for known in store.list_ownership(*place.values())}
    wanted = [{**known.get(id, place), "partition_id": id, "owner_id": owner} for id in partitions]
    print(json.dumps(sorted(claimed["partition_id"] for claimed in store.claim_ownership(wanted))))
