/**
 * What a call's `RTCPeerConnection.getStats()` says, in the few figures that tell how it goes.
 *
 * Names are those of the W3C's "Identifiers for WebRTC's Statistics API". A browser leaves out
 * what it does not measure; such a figure is null. While the agent is silent the server sends no
 * packets, and what is measured over an interval is null as well: nothing was there to measure.
 *
 * No address, port or credential of anybody is in what comes out.
 *
 * @module statistics
 */

/**
 * @typedef {object} CallStats
 * @property {number} atMs  `performance.now()` of the sample
 * @property {number | null} roundTripMs  of the selected candidate pair
 * @property {DownlinkStats | null} downlink  null without audio from the agent
 * @property {UplinkStats | null} uplink  null without a microphone
 * @property {CandidateStats | null} candidates  null while no pair is selected
 */

/**
 * The agent's audio. `lossShare`, `bitrate`, `concealedShare` and both jitter buffer figures are
 * over the time since the sample before; in the first sample of a connection since its beginning.
 *
 * @typedef {object} DownlinkStats
 * @property {number} packets  received
 * @property {number} lost  packets, since the beginning
 * @property {number | null} lossShare  0 to 1
 * @property {number | null} jitterMs  between arrivals
 * @property {number | null} bitrate  bit/s of payload; null in the first sample
 * @property {number | null} jitterBufferMs  how long a sample stayed in the jitter buffer
 * @property {number | null} jitterBufferTargetMs  how long the browser meant it to stay
 * @property {number | null} concealedShare  of what was played, without silence: 0 to 1. Where the
 *   agent stops, browsers fade out by concealing: the interval of an answer's end has some.
 * @property {string | null} codec  as in SDP: `opus/48000/2 useinbandfec=1`
 * @property {number | null} level  0 to 1, linear
 */

/**
 * The microphone. Loss and jitter are what the far end reports.
 *
 * @typedef {object} UplinkStats
 * @property {number} packets  sent
 * @property {number | null} lossShare  0 to 1
 * @property {number | null} jitterMs
 * @property {number | null} bitrate  bit/s of payload since the sample before
 * @property {string | null} codec
 * @property {number | null} level  0 to 1, linear
 */

/**
 * @typedef {object} CandidateStats
 * @property {string} local  `host`, `srflx`, `prflx` or `relay`
 * @property {string} remote
 * @property {string} protocol  `udp` or `tcp`
 * @property {string | null} relayProtocol  to the TURN server: `udp`, `tcp` or `tls`
 * @property {string | null} networkType
 */

/** @typedef {Record<string, unknown>} Stat one dictionary of a report */

/** @typedef {Record<string, number | null>} Counters what only grows, by the W3C's names */

/** @typedef {{id: string, counters: Counters, atMs: number}} Sample */

const INBOUND_COUNTERS = [
  "packetsReceived",
  "packetsLost",
  "bytesReceived",
  "jitterBufferDelay",
  "jitterBufferTargetDelay",
  "jitterBufferEmittedCount",
  "concealedSamples",
  "silentConcealedSamples",
  "totalSamplesReceived",
];
const OUTBOUND_COUNTERS = ["packetsSent", "bytesSent"];
/** These go down only when counting begins anew (`packetsLost` may: a late packet is not lost). */
const NEVER_DECREASING = ["packetsReceived", "packetsSent", "bytesReceived", "bytesSent"];

/** Turns the reports of one call, one after the other, into {@link CallStats}. */
export class CallStatistics {
  /** @type {Sample | null} */
  #downlink = null;
  /** @type {Sample | null} */
  #uplink = null;

  /**
   * @param {RTCStatsReport} report
   * @param {number} nowMs  `performance.now()`
   * @returns {CallStats}
   */
  take(report, nowMs) {
    const stats = new Stats(report);
    const inbound = stats.audio("inbound-rtp");
    const outbound = stats.audio("outbound-rtp");
    const remoteInbound = stats.remoteInbound(outbound);
    const pair = stats.selectedPair();

    const down = inbound && sampleOf(inbound, INBOUND_COUNTERS, nowMs);
    const up = outbound && sampleOf(outbound, OUTBOUND_COUNTERS, nowMs);
    const downlink = down && downlinkOf(stats, inbound, Interval.between(this.#downlink, down));
    const uplink =
      up && uplinkOf(stats, outbound, remoteInbound, Interval.between(this.#uplink, up));
    this.#downlink = down;
    this.#uplink = up;
    return {
      atMs: nowMs,
      roundTripMs: ms(pair?.currentRoundTripTime ?? remoteInbound?.roundTripTime),
      downlink,
      uplink,
      candidates: pair && candidatesOf(stats, pair),
    };
  }
}

/** A report by the kinds of its dictionaries. */
class Stats {
  /** @type {Map<string, Stat>} */
  #byId = new Map();

  /** @param {RTCStatsReport} report */
  constructor(report) {
    report.forEach((stat, id) => this.#byId.set(id, stat));
  }

  /**
   * @param {unknown} id
   * @returns {Stat | null}
   */
  get(id) {
    return (typeof id === "string" && this.#byId.get(id)) || null;
  }

  /**
   * @param {string} type
   * @returns {Stat[]}
   */
  all(type) {
    return [...this.#byId.values()].filter((stat) => stat.type === type);
  }

  /**
   * The dictionary of the call's audio. A call has one audio section; where a stream has been
   * replaced by another within it, the one that carries the most is the one that counts.
   *
   * @param {string} type
   */
  audio(type) {
    const streams = this.all(type).filter((stat) => stat.kind === "audio");
    return mostOf(streams, type === "inbound-rtp" ? "packetsReceived" : "packetsSent");
  }

  /**
   * What the far end reports of an outbound stream.
   *
   * @param {Stat | null} outbound
   */
  remoteInbound(outbound) {
    if (!outbound) return null;
    const reports = this.all("remote-inbound-rtp");
    return this.get(outbound.remoteId) ?? reports.find((it) => it.ssrc === outbound.ssrc) ?? null;
  }

  /**
   * The pair that the transport has selected; where the transport does not say, the pair that is
   * marked `selected` (Firefox), or the nominated one.
   */
  selectedPair() {
    for (const transport of this.all("transport")) {
      const pair = this.get(transport.selectedCandidatePairId);
      if (pair) return pair;
    }
    const pairs = this.all("candidate-pair");
    const selected = pairs.find((pair) => pair.selected === true);
    if (selected) return selected;
    const nominated = pairs.filter((pair) => pair.nominated === true && pair.state === "succeeded");
    return mostOf(nominated, "bytesReceived");
  }
}

/** What the counters of a stream grew by between two samples. */
class Interval {
  #before;
  #after;

  /**
   * @param {Sample | null} before  null: all that has been counted
   * @param {Sample} after
   */
  constructor(before, after) {
    this.#before = before;
    this.#after = after;
  }

  /**
   * The counters of another stream, or of a new connection, begin at nothing.
   *
   * @param {Sample | null} before
   * @param {Sample} after
   */
  static between(before, after) {
    const isSame =
      before?.id === after.id &&
      NEVER_DECREASING.every((name) => (before.counters[name] ?? 0) <= (after.counters[name] ?? 0));
    return new Interval(isSame ? before : null, after);
  }

  /** @returns {number | null} null where it is not known when counting began */
  get lengthMs() {
    return this.#before && this.#after.atMs - this.#before.atMs;
  }

  /** @param {string} name */
  total(name) {
    return this.#after.counters[name] ?? null;
  }

  /** @param {string} name */
  growth(name) {
    const total = this.total(name);
    return total === null ? null : total - (this.#before?.counters[name] ?? 0);
  }

  /** @param {string} bytes  the name of a counter */
  bitrate(bytes) {
    const grown = this.growth(bytes);
    const bits = grown && grown * 8000; // Nothing sent is no rate.
    return bits && this.lengthMs ? Math.round(bits / this.lengthMs) : null;
  }
}

/**
 * @param {Stats} stats
 * @param {Stat} inbound
 * @param {Interval} interval
 * @returns {DownlinkStats}
 */
function downlinkOf(stats, inbound, interval) {
  const packets = interval.growth("packetsReceived") ?? 0;
  const lost = Math.max(0, interval.growth("packetsLost") ?? 0);
  const hasSound = packets > 0;
  const emitted = hasSound ? interval.growth("jitterBufferEmittedCount") : null;
  // What is concealed by silence is mostly what was never sent: it counts on neither side.
  const silent = interval.growth("silentConcealedSamples") ?? 0;
  return {
    packets: interval.total("packetsReceived") ?? 0,
    lost: interval.total("packetsLost") ?? 0,
    lossShare: inbound.packetsLost === undefined ? null : share(lost, packets + lost),
    jitterMs: interval.total("packetsReceived") ? ms(inbound.jitter) : null,
    bitrate: interval.bitrate("bytesReceived"),
    jitterBufferMs: mean(interval.growth("jitterBufferDelay"), emitted),
    jitterBufferTargetMs: mean(interval.growth("jitterBufferTargetDelay"), emitted),
    concealedShare: hasSound
      ? share(
          minus(interval.growth("concealedSamples"), silent),
          minus(interval.growth("totalSamplesReceived"), silent),
        )
      : null,
    codec: codecOf(stats.get(inbound.codecId)),
    level: number(inbound.audioLevel),
  };
}

/**
 * @param {Stats} stats
 * @param {Stat} outbound
 * @param {Stat | null} remoteInbound
 * @param {Interval} interval
 * @returns {UplinkStats}
 */
function uplinkOf(stats, outbound, remoteInbound, interval) {
  const sources = stats.all("media-source").filter((stat) => stat.kind === "audio");
  const source = stats.get(outbound.mediaSourceId) ?? sources[0];
  return {
    packets: interval.total("packetsSent") ?? 0,
    lossShare: number(remoteInbound?.fractionLost),
    jitterMs: ms(remoteInbound?.jitter),
    bitrate: interval.bitrate("bytesSent"),
    codec: codecOf(stats.get(outbound.codecId)),
    level: number(source?.audioLevel),
  };
}

/**
 * @param {Stats} stats
 * @param {Stat} pair
 * @returns {CandidateStats | null}
 */
function candidatesOf(stats, pair) {
  const local = stats.get(pair.localCandidateId);
  const remote = stats.get(pair.remoteCandidateId);
  if (!local || !remote) return null;
  return {
    local: text(local.candidateType) ?? "",
    remote: text(remote.candidateType) ?? "",
    protocol: text(local.protocol) ?? "",
    relayProtocol: text(local.relayProtocol),
    networkType: text(local.networkType),
  };
}

/**
 * @param {Stat | null} codec
 * @returns {string | null}  `opus/48000/2 minptime=10;useinbandfec=1`
 */
function codecOf(codec) {
  const name = text(codec?.mimeType)?.replace(/^audio\//i, "");
  if (!codec || !name) return null;
  const rtpmap = [name, codec.clockRate, codec.channels].filter((part) => part !== undefined);
  return [rtpmap.join("/"), text(codec.sdpFmtpLine)].filter((part) => part !== null).join(" ");
}

/**
 * @param {Stat} stat
 * @param {string[]} names
 * @param {number} atMs
 * @returns {Sample}
 */
function sampleOf(stat, names, atMs) {
  const counters = Object.fromEntries(names.map((name) => [name, number(stat[name])]));
  return { id: `${stat.id} ${stat.ssrc}`, counters, atMs };
}

/**
 * @param {Stat[]} stats
 * @param {string} counter
 * @returns {Stat | null}
 */
function mostOf(stats, counter) {
  const count = (/** @type {Stat} */ stat) => number(stat[counter]) ?? 0;
  return stats.reduce(
    (most, stat) => (most && count(most) >= count(stat) ? most : stat),
    /** @type {Stat | null} */ (null),
  );
}

/**
 * @param {number | null} part
 * @param {number | null} whole
 */
function share(part, whole) {
  if (part === null || whole === null || whole <= 0) return null;
  return Math.min(1, Math.max(0, part / whole));
}

/**
 * @param {number | null} value
 * @param {number} less
 */
function minus(value, less) {
  return value === null ? null : value - less;
}

/**
 * @param {number | null} seconds  summed up
 * @param {number | null} count
 * @returns {number | null} in milliseconds
 */
function mean(seconds, count) {
  if (seconds === null || count === null || count <= 0) return null;
  return Math.max(0, (seconds / count) * 1000);
}

/** @param {unknown} seconds */
function ms(seconds) {
  const value = number(seconds);
  return value === null ? null : value * 1000;
}

/**
 * @param {unknown} value
 * @returns {number | null}
 */
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/**
 * @param {unknown} value
 * @returns {string | null}
 */
function text(value) {
  return typeof value === "string" && value !== "" ? value : null;
}
