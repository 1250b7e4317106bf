/** What becomes of a payload that a journal has freed: its memory belongs to others, and whoever reads it still gets nonsense. */
export function scribble (payload: Buffer): void {
  payload.fill(0xdd)
}
