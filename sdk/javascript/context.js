// The bindings put the host here; outside of the sandbox lines go nowhere and the seed is 0.
let host;

/** For the glue. */
export function connect(bindings) {
  host = bindings;
}

/** What a stage sees of the world. */
export const context = {
  /** Writes a line into the run's log; `level` is debug, info, warn or error. */
  log: (message, level = "info") => host?.log(level, message),
  /** Moves the progress bar. */
  progress: (done, total = 0) => host?.progress(BigInt(done), BigInt(total)),
  /** Adds a point to a curve that is kept with the run. */
  metric: (name, step, value) => host?.metric(name, BigInt(step), value),
  /** The seed of this stage, a BigInt: the only randomness there is. */
  seed: () => host?.seed() ?? 0n,
  /** Whether the run was cancelled: return early, with any result. */
  cancelled: () => host?.cancelled() ?? false,
};
