/** Milliseconds of a monotonic clock shared by all processes of the machine. */
export const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6
