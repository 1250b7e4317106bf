/** The part of pino's logger that the store uses. */
export interface StoreLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}
