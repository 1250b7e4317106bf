/** Why the program cannot start with this directory or database; the message says what to do. */
export class StartupError extends Error {
  override readonly name = 'StartupError'
}
