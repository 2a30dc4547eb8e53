// Preloaded into a node of a test: its wall clock is wrong by CLOCK_SHIFT_MS. Timers are right.

const shiftMs = Number(process.env["CLOCK_SHIFT_MS"])
const now = Date.now.bind(Date)
Date.now = () => now() + shiftMs
