package plan

import (
	"context"
	"math"
	"slices"
	"strings"
)

// Fitting looks for the factors that bring predictions nearest to measurements. The error of a row is the logarithm of predicted
// over measured; what is made small is the sum of its sizes, none counting more than worstError: so the median counts, and no row
// can pull a factor alone.
const worstError = 1.1 // a factor of three

// fit improves factors by going along one after the other, with steps that become smaller.
func fit(trials []*trial, f values) values {
	best := misfit(trials, &f)
	for step := 0.4; step > 0.01; step *= 0.75 {
		for i := range f {
			for _, by := range []float64{math.Exp(step), math.Exp(-step)} {
				g := f
				g[i] *= by
				if g[i] > limits[i][1] || g[i] < limits[i][0] {
					continue
				}
				if e := misfit(trials, &g); e < best-1e-9 {
					f, best = g, e
				}
			}
		}
	}
	return f
}

// fitWell fits from where fitting begins, then again from places around what it found, as long as that helps: going along one factor
// after the other ends in a hollow that need not be the deepest.
func fitWell(trials []*trial) values {
	best := fit(trials, guess)
	least := misfit(trials, &best)
	for again := true; again; {
		again = false
		for i := range best {
			for _, by := range []float64{0.6, 1.6} {
				from := best
				from[i] = math.Max(limits[i][0], math.Min(limits[i][1], by*from[i]))
				f := fit(trials, from)
				if e := misfit(trials, &f); e < least-1e-3 {
					best, least, again = f, e, true
				}
			}
		}
	}
	return best
}

// misfit is what fitting makes small.
func misfit(trials []*trial, f *values) (sum float64) {
	for _, t := range trials {
		sum += math.Min(math.Abs(t.residual(f)), worstError)
	}
	return sum
}

// residual is the logarithm of predicted over measured time.
func (t *trial) residual(f *values) float64 {
	predicted, _ := t.predict(f)
	if !t.time() {
		return math.Log(t.value / predicted)
	}
	return math.Log(predicted / t.value)
}

// time tells whether what was measured is a time, not a rate.
func (t *trial) time() bool { return strings.HasSuffix(t.metric, "_ms") }

// median of a list that it sorts.
func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	slices.Sort(x)
	n := len(x) / 2
	if len(x)%2 == 1 {
		return x[n]
	}
	return (x[n-1] + x[n]) / 2
}

// fitWithout fits, for each source, to all rows of the others.
func fitWithout(ctx context.Context, trials []*trial, from values) (map[string]values, error) {
	all := map[string]values{}
	for _, t := range trials {
		if t == nil {
			continue
		}
		if _, done := all[t.source]; done {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		others := slices.DeleteFunc(slices.Clone(trials), func(o *trial) bool { return o == nil || o.source == t.source })
		all[t.source] = fit(others, from)
	}
	return all, nil
}

// bandsOf are where measurements lie around predictions, the shortest intervals that hold 80 % of them: by class where it has enough rows, drawn towards all of them otherwise.
// residuals are logarithms of predicted over measured time.
func bandsOf(trials []*trial, residuals []float64) map[string]band {
	byClass := map[string][]float64{}
	for i, t := range trials {
		byClass[t.class] = append(byClass[t.class], -residuals[i])
		byClass[""] = append(byClass[""], -residuals[i])
	}
	bands := map[string]band{}
	low, high := shortest(byClass[""], inBand)
	for class, list := range byClass {
		n := float64(len(list))
		trust := n / (n + fewRows)
		if class == "" {
			trust = 1
		}
		from, to := shortest(list, inBand)
		bands[class] = band{math.Exp(trust*from + (1-trust)*low), math.Exp(trust*to + (1-trust)*high)}
	}
	return bands
}

// fewRows is how many rows of a class count as much as all rows together.
const fewRows = 8

// inBand is the share of residuals that a band holds: a little more than 80 %, since those who fitted are kinder to it than others.
const inBand = 0.82

// shortest is the shortest interval that holds a share of a list, which it sorts.
func shortest(x []float64, share float64) (low, high float64) {
	slices.Sort(x)
	n := int(math.Ceil(share * float64(len(x))))
	low, high = x[0], x[n-1]
	for i := range len(x) - n + 1 {
		if x[i+n-1]-x[i] < high-low {
			low, high = x[i], x[i+n-1]
		}
	}
	return low, high
}
