/** Uses 200 ms of processor time, says so, and waits to be ended. */
while (process.cpuUsage().user < 200_000) Math.random()
process.send?.('done')
setInterval(() => {}, 1_000)
