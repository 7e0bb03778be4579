"""Prints a line of JSON whenever a node of a cluster comes or goes, from its start to the end of this process.

    python tests/cluster/timeline.py ADDRESS

A reader of the head's list of nodes, not a driver, so that it holds nothing that the autoscaler could count.
"""

import json
import sys
import time

from ray._raylet import GcsClient


def alive(client: GcsClient) -> dict[str, str]:
    """Returns the worker nodes that live: id to type."""
    infos = client.get_all_node_info().values()
    return {
        one.node_id.hex(): one.node_type_name
        for one in infos
        if one.state == 0 and not one.is_head_node  # ALIVE
    }


def main() -> None:
    """Looks five times a second."""
    client, before = GcsClient(address=sys.argv[1]), dict[str, str]()
    while True:
        now = alive(client)
        for node in before.keys() ^ now.keys():
            line = {"time": time.time(), "node": node[-2:], "type": (now | before)[node], "is_up": node in now}
            print(json.dumps(line), flush=True)
        before = now
        time.sleep(0.2)


if __name__ == "__main__":
    main()
