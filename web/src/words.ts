// Numbers and times in the form in which people read them.

const grouped = new Intl.NumberFormat('en-GB')

export const whole = (n: number) => grouped.format(Math.round(n))

/** Three digits that matter: 0.42, 8.31, 52.4, 318. */
export function short(n: number): string {
  if (n >= 99.95) return whole(n)
  return n.toFixed(n >= 9.995 ? 1 : 2)
}

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  for (; n >= 1024 && unit < units.length - 1; n /= 1024) unit++
  return `${unit === 0 ? n : short(n)} ${units[unit]}`
}

export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  const s = ms / 1000
  if (s < 10) return `${s.toFixed(1)} s`
  return s < 60 ? `${Math.round(s)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`
}

export function percent(part: number, all: number): string {
  return all > 0 ? `${Math.round((100 * part) / all)} %` : '–'
}

/** A time that runs on: its width stays the same. */
export const running = (ms: number) => (ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : seconds(ms))

/** The heading under which a day's conversations stand. */
export function ageOf(at: number, now: number): string {
  const day = (t: number) => new Date(t).setHours(0, 0, 0, 0)
  const days = Math.round((day(now) - day(at)) / 86_400_000)
  if (days <= 0) return 'Today'
  if (days === 1) return 'Yesterday'
  if (days < 7) return 'This week'
  if (days < 31) return 'This month'
  return new Intl.DateTimeFormat('en-GB', { month: 'long', year: 'numeric' }).format(at)
}
