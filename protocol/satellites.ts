/** A satellite id that was seen and found valid: interned once, then shared by every point. */
export interface Satellite {
  readonly id: string
  /** The id in UTF-8, as it goes into COPY rows. */
  readonly utf8: Buffer
  /** Position in its table, from 0: a key for arrays kept beside the table. */
  readonly index: number
}

/** Interns satellite ids; bounded. */
export declare class SatelliteTable {
  constructor (max?: number)
  byId (id: string): Satellite | null
  byBytes (bytes: Buffer, start: number, end: number): Satellite | null
}
