"""Getting the image of a container, with the kubelet's states, texts and back-off."""

import asyncio
from collections.abc import Callable

from lab.cluster.node import images
from lab.cluster.node.images import InvalidImage, PullError

BACK_OFF_SECONDS = (10.0, 300.0)
Tell = Callable[[str, str, str], None]
"""Writes an event about the container: type, reason, message."""
Wait = Callable[[str, str], None]
"""Sets the container waiting: reason, message."""


class Pulling:
    """Pulls one container's image.

    Args:
        image: as the pod asks for it.
        policy: its imagePullPolicy.
        pulled: the images that the node has, by full name.
        tell: writes events.
        wait: sets the state.
    """

    def __init__(self, image: str, policy: str, pulled: set[str], tell: Tell, wait: Wait) -> None:
        self._image, self._policy, self._pulled = image, policy, pulled
        self._tell, self._wait = tell, wait

    async def pull(self) -> None:
        """Return when the image is there."""
        pause = BACK_OFF_SECONDS[0]
        while (problem := self._attempt()) is not None:
            reason, text = problem
            self._tell("Warning", "Failed", f"Error: {reason}")
            self._wait(reason, text)
            if reason == "ErrImagePull":
                await asyncio.sleep(1.0)
                self._tell("Normal", "BackOff", f'Back-off pulling image "{self._image}"')
                self._tell("Warning", "Failed", "Error: ImagePullBackOff")
                self._wait("ImagePullBackOff", f'Back-off pulling image "{self._image}": ErrImagePull: {text}')
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACK_OFF_SECONDS[1])

    def _attempt(self) -> tuple[str, str] | None:
        """Reason and text of what is wrong; None when the image is there."""
        full = images.canonical(self._image)
        present = full in self._pulled
        if self._policy == "Never" and not present:
            text = f'Container image "{self._image}" is not present with pull policy of Never'
            self._tell("Warning", "ErrImageNeverPull", text)
            return "ErrImageNeverPull", text
        if present and self._policy != "Always":
            self._tell("Normal", "Pulled", f'Container image "{self._image}" already present on machine')
            return None
        try:
            self._fetch(full)
        except InvalidImage as error:
            self._tell("Warning", "InspectFailed", str(error))
            return "InvalidImageName", str(error)
        except PullError as error:
            self._tell("Warning", "Failed", f'Failed to pull image "{self._image}": {error}')
            return "ErrImagePull", str(error)
        return None

    def _fetch(self, full: str) -> None:
        images.check_name(self._image)
        self._tell("Normal", "Pulling", f'Pulling image "{self._image}"')
        images.launcher_of(self._image)
        self._pulled.add(full)
        text = f'Successfully pulled image "{self._image}" in 1ms (1ms including waiting). Image size: 0 bytes.'
        self._tell("Normal", "Pulled", text)
