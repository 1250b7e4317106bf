/** What happens to a payload that a journal has freed: its memory is reused, so late readers must see garbage. */
export function scribble (payload: Buffer): void {
  payload.fill(0xdd)
}
