/** Why the program cannot start with this directory or database. The message says what was found and what to do. */
export class StartupError extends Error {
  override readonly name = 'StartupError'
}

/** The code of a system error (ENOENT, EACCES, …), '' for any other. */
export function systemCode (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
