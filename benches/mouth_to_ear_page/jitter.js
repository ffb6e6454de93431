/** A worker that delays each frame by 0 to `jitterMs` at random, and keeps their order. */

addEventListener("rtctransform", async ({ transformer }) => {
  const { readable, writable, options } = transformer;
  const writer = writable.getWriter();
  let dueMs = 0;
  for await (const frame of readable) {
    dueMs = Math.max(dueMs, performance.now() + Math.random() * options.jitterMs);
    setTimeout(() => writer.write(frame), dueMs - performance.now());
  }
});
