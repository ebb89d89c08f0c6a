// Where a token's time goes: the parts that the server tells, gathered into a few that a reader can tell apart.

import type { Live } from './wire'

export interface Group {
  key: string
  name: string
  meaning: string
  parts: string[]
}

export const groups: Group[] = [
  { key: 'weights', name: 'Weights', meaning: 'reading and multiplying by them', parts: ['embed', 'attn_proj', 'experts', 'shared', 'head'] },
  { key: 'attention', name: 'Attention', meaning: 'looking back over the context', parts: ['attn_core', 'indexer', 'compress'] },
  { key: 'routing', name: 'Routing', meaning: 'choosing experts', parts: ['router'] },
  { key: 'streams', name: 'Streams', meaning: 'hyper-connections and norms', parts: ['hc', 'norm'] },
  { key: 'other', name: 'Sampling', meaning: 'choosing the token, and the rest', parts: ['sample'] },
  { key: 'wait', name: 'Waiting', meaning: 'for the disk, and of workers for each other', parts: ['wait'] },
]

export const partNames: Record<string, string> = {
  embed: 'embedding',
  attn_proj: 'attention projections',
  attn_core: 'attention',
  indexer: 'indexer',
  compress: 'compressor',
  router: 'router',
  experts: 'routed experts',
  shared: 'shared expert',
  hc: 'hyper-connections',
  norm: 'norms',
  head: 'output head',
  sample: 'sampling',
  wait: 'waiting',
}

/** ms per token of each group, in the order of `groups`. A part that this page does not know is counted under the fifth. */
export function msByGroup(live: Live): number[] {
  const known = new Set(groups.flatMap((g) => g.parts))
  const sums = groups.map((g) => g.parts.reduce((sum, part) => sum + (live.ms_by[part] ?? 0), 0))
  for (const [part, ms] of Object.entries(live.ms_by)) {
    if (!known.has(part)) sums[groups.findIndex((g) => g.key === 'other')]! += ms
  }
  return sums
}

export const total = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)

/** A round number that is no smaller: the depth of a picture. */
export function roundUp(n: number): number {
  if (!(n > 0)) return 1
  const ten = 10 ** Math.floor(Math.log10(n))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((k) => k * ten).find((k) => k >= n * 0.999)!
}
