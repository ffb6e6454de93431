/**
 * A picture as the server takes it: a JPEG that fits into one message.
 *
 * @module picture
 */

/** Base64 makes four characters of three bytes, and 256 KiB is what a message may have. */
const JPEG_BYTES_MAX = 180 * 1024;
/** Models look at pictures in tiles of some hundred pixels: more than this tells them no more. */
const EDGE_MAX = 1536;
const EDGE_MIN = 64;
const QUALITIES = [0.85, 0.7, 0.5];

/**
 * @param {Blob} picture  anything the browser can draw
 * @returns {Promise<string>} base64 of a JPEG of at most 180 KiB
 * @throws {DOMException} the browser cannot read it
 */
export async function encodePicture(picture) {
  const bitmap = await createImageBitmap(picture);
  try {
    let edge = EDGE_MAX;
    for (;;) {
      for (const quality of QUALITIES) {
        const jpeg = await draw(bitmap, edge, quality);
        if (jpeg.size <= JPEG_BYTES_MAX || edge <= EDGE_MIN) return base64Of(jpeg);
      }
      edge /= 2;
    }
  } finally {
    bitmap.close();
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @param {number} edgeMax  of the longer side, in pixels
 * @param {number} quality
 */
function draw(bitmap, edgeMax, quality) {
  const scale = Math.min(1, edgeMax / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = new OffscreenCanvas(width, height);
  const drawing = canvas.getContext("2d");
  if (!drawing) throw new DOMException("There is no canvas.", "InvalidStateError");
  drawing.fillStyle = "white"; // what is transparent would be black in a JPEG
  drawing.fillRect(0, 0, width, height);
  drawing.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/jpeg", quality });
}

/**
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
async function base64Of(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}
