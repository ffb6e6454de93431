/**
 * Whether the person is heard: muted by hand, or open for as long as a button is held.
 *
 * @module talk
 */

/** People let go of the button with their last sound; it is on its way for this long. */
const RELEASE_MS = 150;

/** @typedef {import("./messages.js").ClientMessage} ClientMessage */

export class Talk {
  #send;
  #onMuted;
  #isMuted = false;
  /** Whether the server listens for speech itself and wants to hear of no button. */
  #detectsSpeech = false;
  /** Whether an activity was begun, by `hold`, that has not ended. */
  #isActive = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #release;

  /**
   * @param {object} how
   * @param {(message: ClientMessage) => unknown} how.send
   * @param {(muted: boolean, isNews: boolean) => void} how.onMuted  after every `mute`; the server is
   *   told of news
   */
  constructor({ send, onMuted }) {
    this.#send = send;
    this.#onMuted = onMuted;
  }

  get isMuted() {
    return this.#isMuted;
  }

  /** @param {boolean} muted  holds for later connections, too */
  mute(muted) {
    clearTimeout(this.#release);
    if (muted) this.#setActive(false);
    const isNews = this.#isMuted !== muted;
    this.#isMuted = muted;
    this.#onMuted(muted, isNews);
  }

  /** @param {boolean} pressed  the microphone is open from true until shortly after false */
  hold(pressed) {
    if (pressed) {
      this.#send({ type: "interrupt" });
      this.mute(false);
      this.#setActive(true);
      return;
    }
    clearTimeout(this.#release);
    this.#release = setTimeout(() => this.mute(true), RELEASE_MS);
  }

  /** Another connection counts: what the one before had said of itself does not. */
  onConnection() {
    this.#detectsSpeech = false;
  }

  /** @param {boolean} hasAudio  tells a new connection how things stand */
  onReady(hasAudio) {
    if (this.#isMuted && hasAudio) this.#send({ type: "mute", muted: true });
    if (this.#isActive) this.#send({ type: "activity", state: "start" });
  }

  /** The model listens for speech by itself. */
  onActivityRefused() {
    this.#detectsSpeech = true;
  }

  /** Nobody is connected any more. */
  letGo() {
    this.#isActive = false;
  }

  /** The person has hung up: what was let go of just now mutes no later call. */
  onHangUp() {
    clearTimeout(this.#release);
    this.letGo();
  }

  /** @param {boolean} active */
  #setActive(active) {
    if (this.#isActive === active) return;
    this.#isActive = active;
    if (this.#detectsSpeech) return;
    this.#send({ type: "activity", state: active ? "start" : "end" });
  }
}
