/** Milliseconds of a monotonic clock that is the same in every process of the machine. */
export const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6
