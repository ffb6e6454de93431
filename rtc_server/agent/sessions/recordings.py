"""An artifact service that keeps no caller waiting while a recording of the call is stored.

With ``RunConfig.save_live_blob`` ADK 2.13 stores the sound of each side when the model says
``interrupted`` or ``turn_complete``, and passes that on only once it is stored
(``live/_live_llm_flow.py``): an interruption would come as late as the artifact store is slow.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from google.adk.artifacts.base_artifact_service import ArtifactVersion, BaseArtifactService
from google.genai import types

__all__ = ["RecordingsBehind"]

logger = logging.getLogger(__name__)

_RECORDING = "adk_live_audio_storage_"
"""How the names of such artifacts begin; they end in a time of milliseconds."""

_CLOSE_S = 2.0


class RecordingsBehind(BaseArtifactService):
    """Passes everything on to ``behind``, recordings by a task of its own, in order.

    Recordings that wait: ``capacity_bytes`` at most; one more is lost, and the log says so.
    :meth:`close` gives those that wait a bounded time; it may be called twice.
    """

    def __init__(
        self, behind: BaseArtifactService, *, capacity_bytes: int = 256 * 1024 * 1024
    ) -> None:
        self._behind = behind
        self._capacity_bytes = capacity_bytes
        self._waiting_bytes = 0
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """The version: that of a recording is its first, as each has a name of its own."""
        saved: dict[str, Any] = {
            "app_name": app_name,
            "user_id": user_id,
            "filename": filename,
            "artifact": artifact,
            "session_id": session_id,
            "custom_metadata": custom_metadata,
        }
        if not filename.startswith(_RECORDING):
            return await self._behind.save_artifact(**saved)
        size = _size(artifact)
        if self._waiting_bytes + size > self._capacity_bytes:
            logger.warning("a recording was lost: the artifact service is too slow")
            return 0
        self._waiting_bytes += size
        self._waiting.put_nowait(saved)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="recordings")
        return 0

    async def _write_all(self) -> None:
        """Until nothing waits."""
        while not self._waiting.empty():
            saved = self._waiting.get_nowait()
            try:
                await self._behind.save_artifact(**saved)
            except Exception:  # whatever a store raises: the call goes on without its recording
                logger.exception("a recording was lost: it could not be stored")
            finally:
                self._waiting_bytes -= _size(saved["artifact"])

    async def close(self) -> None:
        """Store what waits, for a bounded time; what is behind is left open."""
        task = self._task
        if task is None or task.done():
            return
        await asyncio.wait({task}, timeout=_CLOSE_S)
        if not task.done():
            logger.warning("%d recordings were lost at the end", self._waiting.qsize() + 1)
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSE_S)

    async def load_artifact(self, **which: Any) -> types.Part | None:
        """As the service behind does it, and so all that follow."""
        return await self._behind.load_artifact(**which)

    async def list_artifact_keys(
        self, *, app_name: str, user_id: str, session_id: str | None = None
    ) -> list[str]:
        return await self._behind.list_artifact_keys(
            app_name=app_name, user_id=user_id, session_id=session_id
        )

    async def delete_artifact(self, **which: Any) -> None:
        await self._behind.delete_artifact(**which)

    async def list_versions(self, **which: Any) -> list[int]:
        return await self._behind.list_versions(**which)

    async def list_artifact_versions(self, **which: Any) -> list[ArtifactVersion]:
        return await self._behind.list_artifact_versions(**which)

    async def get_artifact_version(self, **which: Any) -> ArtifactVersion | None:
        return await self._behind.get_artifact_version(**which)


def _size(artifact: types.Part | dict[str, Any]) -> int:
    blob = artifact.inline_data if isinstance(artifact, types.Part) else None
    return len(blob.data or b"") if blob is not None else 0
