import type { Logger } from 'pino'

/** What the store says to the log: the part of pino's logger that it uses. */
export type StoreLog = Pick<Logger, 'info' | 'warn' | 'error'>
