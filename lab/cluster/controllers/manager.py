"""All controllers of one cluster, over the same caches.

Garbage collection and the end of namespaces are the API server's own; a real one has them in its own manager.
"""

import asyncio
from collections.abc import Callable

from lab.cluster.client import Client
from lab.cluster.controllers.common import Context
from lab.cluster.controllers.cronjobs import CronJobs
from lab.cluster.controllers.daemonsets import DaemonSets
from lab.cluster.controllers.deployments import Deployments
from lab.cluster.controllers.endpoints import Endpoints
from lab.cluster.controllers.jobs import Jobs
from lab.cluster.controllers.namespaces import Namespaces
from lab.cluster.controllers.replicasets import ReplicaSets
from lab.cluster.controllers.scheduling import Scheduling
from lab.cluster.controllers.services import Services
from lab.cluster.controllers.statefulsets import StatefulSets


class Controllers:
    """The controller manager, scheduler, load balancer and proxy of a cluster.

    Args:
        client: an administrator's client of the API server.
        network: first two bytes of the loopback network that load balancers take their addresses from.
        ca_pem: the API server's CA, which every namespace is given.
        is_down: whether load balancers let nothing through at the moment.
        beside_manager: a kube-controller-manager runs as well; then only what it does not do is done here.
    """

    def __init__(
        self,
        client: Client,
        network: str,
        ca_pem: str = "",
        is_down: Callable[[], bool] = lambda: False,
        *,
        beside_manager: bool = False,
    ) -> None:
        self._context = Context(client)
        self._services = Services(self._context, network, is_down)
        scheduling = Scheduling(self._context)
        self._queues = [self._services.queue, scheduling.queue]
        if not beside_manager:
            self._queues += [
                Deployments(self._context).queue,
                ReplicaSets(self._context).queue,
                StatefulSets(self._context).queue,
                DaemonSets(self._context).queue,
                Jobs(self._context).queue,
                CronJobs(self._context).queue,
                Endpoints(self._context).queue,
                Namespaces(self._context, ca_pem).queue,
                scheduling.claims,
            ]

    async def start(self) -> None:
        """Fill the caches and begin to work."""
        for recorder in self._context.recorders.values():
            recorder.start()
        await asyncio.gather(*(informer.start() for informer in self._context.informers.values()))
        for queue in self._queues:
            queue.start()

    async def stop(self) -> None:
        """Stop working and close all forwards; objects stay as they are."""
        for queue in self._queues:
            await queue.stop()
        await self._services.stop()
        for informer in self._context.informers.values():
            await informer.stop()
        for recorder in self._context.recorders.values():
            await recorder.stop()
