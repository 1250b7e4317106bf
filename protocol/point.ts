/** A telemetry point as JSON carries it, and the rules that every decoder applies. */

/** Settings of validation; all decoders share them. */
export interface DecodeRules {
  /** Oldest accepted time before now, in milliseconds. */
  readonly timeWindowPastMs: number
  /** Newest accepted time after now, in milliseconds. */
  readonly timeWindowFutureMs: number
  readonly unknownFields: 'reject' | 'ignore'
}
