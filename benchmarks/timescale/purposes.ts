/** Purposes that time in statements is attributed to. */

/** Transactions with points: ledger, COPY, COMMIT. */
export const STORING = 'storing'
/** Of continuous aggregates, by their policies. */
export const REFRESHES = 'refreshes'
/** The primary's work on the database. */
export const MAINTENANCE = 'maintenance'
