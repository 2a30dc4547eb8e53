/**
 * Date-time groups, the way cables are dated: "211935Z JUL 67" is the 21st at 19:35 Zulu
 * (PROTOCOL §7.2).
 */

const MONTHS = [
  "JAN",
  "FEB",
  "MAR",
  "APR",
  "MAY",
  "JUN",
  "JUL",
  "AUG",
  "SEP",
  "OCT",
  "NOV",
  "DEC",
] as const
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

// Day, hour, minute, zone letter (J is not a zone), month, year of the century.
const FORM = /^(\d{2})(\d{2})(\d{2})[A-IK-Z] ([A-Z]{3}) (\d{2})$/

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/**
 * True for a date-time group that exists.
 *
 * The year has two digits, so 29 February passes in every year divisible by four; 1900 and 2100 lie
 * outside the century that two digits are read in.
 */
export function isDateTimeGroup(text: string): boolean {
  const match = FORM.exec(text)
  if (match === null) return false
  const [, day, hour, minute, monthName, year] = match
  const month = MONTHS.findIndex((name) => name === monthName)
  const isLeap = Number(year) % 4 === 0
  const days = (DAYS_IN_MONTH[month] ?? 0) + (month === 1 && isLeap ? 1 : 0)
  return (
    month >= 0 &&
    Number(day) >= 1 &&
    Number(day) <= days &&
    Number(hour) <= 23 &&
    Number(minute) <= 59
  )
}

/** The Zulu date-time group of a Unix time in ms. */
export function formatDateTimeGroup(timeMs: number): string {
  const { year, month, day } = civilOf(Math.floor(timeMs / DAY_MS))
  const minutes = Math.floor((timeMs % DAY_MS) / MINUTE_MS)
  const clock = twoDigits(Math.floor(minutes / 60)) + twoDigits(minutes % 60)
  return `${twoDigits(day)}${clock}Z ${MONTHS[month] ?? ""} ${twoDigits(year % 100)}`
}

function twoDigits(value: number): string {
  return value.toString().padStart(2, "0")
}

/** Gregorian date of a day number, 0 being 1 January 1970; month counts from 0. */
function civilOf(dayNumber: number): { year: number; month: number; day: number } {
  let year = 1970
  let left = dayNumber
  // Whole cycles of 400 years first, so that the loop below is short.
  const cycles = Math.floor(left / 146_097)
  year += cycles * 400
  left -= cycles * 146_097
  while (left >= daysInYear(year)) {
    left -= daysInYear(year)
    year += 1
  }
  let month = 0
  while (left >= daysInMonth(year, month)) {
    left -= daysInMonth(year, month)
    month += 1
  }
  return { year, month, day: left + 1 }
}

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function daysInYear(year: number): number {
  return isLeapYear(year) ? 366 : 365
}

function daysInMonth(year: number, month: number): number {
  return (DAYS_IN_MONTH[month] ?? 31) + (month === 1 && isLeapYear(year) ? 1 : 0)
}
