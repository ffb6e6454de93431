/**
 * The ways from the microphone to the ear: our client library, a plain peer connection, and
 * two peer connections of this page with nothing between them.
 *
 * Each resolves once media can flow.
 */

/** @typedef {{stream: MediaStream, hangUp: () => void}} Connection  what is received, and its end */

/** @typedef {{jitterBufferTargetMs?: number | null, ptimeMs?: number, jitterMs?: number}} Variation */

/** @type {RTCPeerConnection[]} every one that was made, whoever made it */
export const peerConnections = [];

/**
 * Keeps every peer connection that is made from now on, for its statistics, and changes it as
 * the variation asks: that reaches the connection inside the client library, too.
 *
 * `jitterMs` delays each packet that is sent by up to so much, as a network does.
 *
 * @param {Variation} variation
 */
export async function observePeerConnections({ jitterBufferTargetMs, ptimeMs, jitterMs }) {
  const network = jitterMs === undefined ? null : new Worker(await localCopy("./jitter.js"));
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super(configuration);
      peerConnections.push(this);
      if (jitterBufferTargetMs === undefined) return;
      this.addEventListener("connectionstatechange", () => {
        for (const receiver of this.getReceivers())
          receiver.jitterBufferTarget = jitterBufferTargetMs;
      });
    }

    /**
     * @param {MediaStreamTrack} track
     * @param {MediaStream[]} streams
     */
    addTrack(track, ...streams) {
      const sender = super.addTrack(track, ...streams);
      if (network) sender.transform = new RTCRtpScriptTransform(network, { jitterMs });
      return sender;
    }

    /** @param {RTCSessionDescriptionInit} description */
    setRemoteDescription(description) {
      if (ptimeMs === undefined) return super.setRemoteDescription(description);
      const sdp = description.sdp?.replace(
        /(a=rtpmap:\d+ opus\/.*\r\n)/,
        `$1a=ptime:${ptimeMs}\r\n`,
      );
      return super.setRemoteDescription({ type: description.type, sdp });
    }
  };
}

/**
 * As a page of our server does it.
 *
 * @param {MediaStream} microphone
 * @param {HTMLAudioElement} ear
 * @returns {Promise<Connection>}
 */
export async function connectByLibrary(microphone, ear) {
  const { Call } = await import(new URL("/client/call.js", location.href).href);
  const call = new Call({ url: new URL("/", location.href), element: ear, storage: null });
  const stream = new Promise((resolve) => call.on("stream", resolve));
  const ready = new Promise((resolve, reject) => {
    call.on("ready", resolve);
    call.on("status", ({ problem }) => problem && reject(problem));
  });
  await call.start({ microphone });
  await ready;
  return { stream: await stream, hangUp: () => call.hangUp() };
}

/**
 * As the client of aiortc's server example does it: candidates first, then the offer.
 *
 * @param {MediaStream} microphone
 * @returns {Promise<Connection>}
 */
export async function connectPlainly(microphone) {
  const pc = new RTCPeerConnection();
  const track = once(pc, "track");
  for (const one of microphone.getTracks()) pc.addTrack(one, microphone);
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== "complete") await once(pc, "icegatheringstatechange");
  const answer = await fetch("/offer", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(pc.localDescription),
  });
  await pc.setRemoteDescription(await answer.json());
  return { stream: await streamOf(pc, await track), hangUp: () => pc.close() };
}

/**
 * Nothing but the browser and its loop-back: what is left when there is no server.
 *
 * @param {MediaStream} microphone
 * @returns {Promise<Connection>}
 */
export async function connectToItself(microphone) {
  const [mouth, ear] = [new RTCPeerConnection(), new RTCPeerConnection()];
  mouth.addEventListener("icecandidate", ({ candidate }) => ear.addIceCandidate(candidate));
  ear.addEventListener("icecandidate", ({ candidate }) => mouth.addIceCandidate(candidate));
  const track = once(ear, "track");
  for (const one of microphone.getTracks()) mouth.addTrack(one, microphone);
  await mouth.setLocalDescription(await mouth.createOffer());
  await ear.setRemoteDescription(mouth.localDescription);
  await ear.setLocalDescription(await ear.createAnswer());
  await mouth.setRemoteDescription(ear.localDescription);
  const hangUp = () => [mouth, ear].forEach((pc) => pc.close());
  return { stream: await streamOf(ear, await track), hangUp };
}

/**
 * Requests of workers and worklets pass by the browser's driver, which is who serves the files
 * of this folder: they get a copy.
 *
 * @param {string} name
 * @returns {Promise<string>}  a URL of its own
 */
export async function localCopy(name) {
  return URL.createObjectURL(await (await fetch(new URL(name, import.meta.url))).blob());
}

/**
 * @param {RTCPeerConnection} pc
 * @param {RTCTrackEvent} event
 * @returns {Promise<MediaStream>}  once it is connected
 */
async function streamOf(pc, event) {
  while (pc.connectionState !== "connected") {
    if (pc.connectionState === "failed") throw new Error("The connection failed.");
    await once(pc, "connectionstatechange");
  }
  return event.streams[0] ?? new MediaStream([event.track]);
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @returns {Promise<any>}  the next event
 */
function once(target, type) {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
}
