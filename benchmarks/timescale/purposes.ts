/** What the time in statements is counted under. */

/** Transactions with points: ledger, COPY, COMMIT. */
export const STORING = 'storing'
/** Of continuous aggregates, by their policies. */
export const REFRESHES = 'refreshes'
/** What the primary does for the database. */
export const MAINTENANCE = 'maintenance'
