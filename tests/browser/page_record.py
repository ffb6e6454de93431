"""What a page has shown and opened, kept by a script that runs before its own."""

from __future__ import annotations

__all__ = ["MICROPHONE_IS", "RECORD"]

RECORD = """
globalThis.notices = [];
addEventListener("DOMContentLoaded", () => {
  const notice = document.querySelector("#notice");
  new MutationObserver(() => {
    if (!notice.hidden) notices.push(notice.innerText);
  }).observe(notice, { attributes: true, childList: true, subtree: true });
});
const open = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (open) navigator.mediaDevices.getUserMedia = async (wanted) =>
  (globalThis.microphone = await open(wanted));
"""
"""All notices that were shown, however shortly, and the microphone that was opened last."""

MICROPHONE_IS = "microphone.getAudioTracks()[0].readyState"
