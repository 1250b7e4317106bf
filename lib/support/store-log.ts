import type { Logger } from 'pino'

/** The part of pino's logger that the store uses. */
export type StoreLog = Pick<Logger, 'info' | 'warn' | 'error'>
