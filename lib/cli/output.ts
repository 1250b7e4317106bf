/** What a program prints. */
export interface Output {
  /** A line for standard output. */
  readonly print: (text: string) => void
  /** A line for standard error. */
  readonly complain: (text: string) => void
}

export const STANDARD_OUTPUT: Output = {
  print: text => process.stdout.write(`${text}\n`),
  complain: text => process.stderr.write(`${text}\n`)
}

/** A reader that closes early (`| head`), or a terminal that was closed, is not a failure. */
export function tolerateLostReaders (): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
    })
  }
}

/** Prints a final text, to standard error unless the code is 0; returns the code. */
export function end ({ exitCode, text }: { readonly exitCode: number, readonly text: string }, output: Output): number {
  (exitCode === 0 ? output.print : output.complain)(text)
  return exitCode
}
