"""Whether an autoscaler of Ray adds nodes where its cluster has no room.

Ray says so nowhere outright. Both generations of its autoscaler run on clusters that nobody scales
too, where they only report the nodes; and then they call every node a kind of its own.
"""

from __future__ import annotations

import json


def adds_nodes() -> bool:
    """Whether this Ray's autoscaler may add nodes (KubeRay's, or that of ``ray up``).

    An autoscaler of the first generation is known from its first report on, seconds after the
    start of the cluster.
    """
    import ray
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get, internal_kv_get_gcs_client

    client = internal_kv_get_gcs_client()
    if is_autoscaler_v2(fetch_from_server=True, gcs_client=client):
        # What starts the nodes of an autoscaled cluster names their kind.
        return any(
            node.ray_node_type_name for node in get_cluster_resource_state(client).node_states
        )
    status = _internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    report = (json.loads(status) if status else {}).get("autoscaler_report")
    own_kinds = {f"node_{node['NodeID']}" for node in ray.nodes()}
    return report is not None and not own_kinds & set(report["active_nodes"])
