/** What the routes ask of the rest of the program: answers that only the primary can give. */
export interface StatusAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export interface StatusPort {
  health (): Promise<StatusAnswer>
  metrics (): Promise<StatusAnswer>
}
