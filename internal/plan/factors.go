package plan

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
)

// values are what time is multiplied with: shares of peaks that are reached, and times that are lost. They are fitted to
// published measurements by class of hardware, never to a row (fit.go).
type values [factors]float64

type factor int

const (
	accelMemory    factor = iota // share of memory bandwidth, accelerators
	accelCompute                 // share of peak operations, accelerators
	accelOp                      // seconds lost in each op of a step: launches, barriers, latency of links
	unifiedMemory                // share of memory bandwidth, unified memory
	unifiedCompute               // share of peak operations
	unifiedOp                    // seconds lost in each op
	cpuMemory                    // share of memory bandwidth, processors
	hostMemory                   // the same of processors that only run routed experts
	cpuCompute                   // share of peak operations
	draftChance                  // that a draft stands if those before it did, where nobody says
	communityRate                // how much slower engines of small projects are on accelerators
	served                       // how much longer a token takes in a server where requests come and go, than in a steady batch
	factors
)

// hitPower makes of the share of experts that memory holds the share of wants that are met there: of hits that were published, 0.525 and
// 0.606 where a tenth were held, and 0.653 where a sixth were (anchors f-5800x-ssd and f-6800h-ssd).
const hitPower = 0.25

// amxShare is what kernels reach of the peak of processors' tile units where others reach theirs: 21 of 74 TFLOPS in BF16, 35 of 147 TOPS in
// INT8 (performance.md, section 2, KTransformers).
const amxShare = 0.26

// What baleen itself reaches of what a processor was measured to do (docs/log.md, "issue 3"): of the read loop in decoding, and of the peak in reading
// prompts. They take the place of cpuMemory and cpuCompute on the machine that a profile is of.
const (
	ownMemory  = 0.88
	ownCompute = 0.63

	ofProfile = "probed" // the class of such a machine
)

// ownBand is where baleen's rows lay around what these shares say: 0.81 to 0.97 of the read loop, 0.58 to 0.70 of the peak.
var ownBand = band{0.88, 1.12}

// factorNames are those of the JSON form.
var factorNames = [factors]string{
	"accelerator_memory", "accelerator_compute", "accelerator_op", "unified_memory", "unified_compute", "unified_op",
	"cpu_memory", "host_memory", "cpu_compute", "draft_chance", "community_rate", "served",
}

// slower is how much longer things take in a server with so many sequences at once: one alone is not held up.
func (v *values) slower(concurrency float64) float64 {
	return 1 + (v[served]-1)*(1-1/math.Max(concurrency, 1))
}

// guess is where fitting begins.
var guess = values{
	accelMemory: 0.6, accelCompute: 0.3, accelOp: 4e-6,
	unifiedMemory: 0.65, unifiedCompute: 0.12, unifiedOp: 4e-6,
	cpuMemory: 0.45, hostMemory: 0.6, cpuCompute: 0.2, draftChance: 0.7, communityRate: 1.5, served: 1.5,
}

// limits are between what factors are physical.
var limits = [factors][2]float64{
	accelMemory: {0.2, 0.95}, accelCompute: {0.05, 0.8}, accelOp: {0.5e-6, 50e-6},
	unifiedMemory: {0.2, 0.95}, unifiedCompute: {0.02, 0.8}, unifiedOp: {0, 50e-6},
	cpuMemory: {0.1, 0.95}, hostMemory: {0.1, 0.95}, cpuCompute: {0.02, 0.9}, draftChance: {0.6, 0.85}, communityRate: {1, 5}, served: {1, 3},
}

// calibration is fitted values, and how far measurements lie around what they predict.
type calibration struct {
	values values
	bands  map[string]band // by class of setting; "" is of all
	note   string          // what they were fitted to
	fitted map[string]bool // ids of the measurements they were fitted to
	chips  map[string]bool // that were measured
	most   struct{ devices, context, concurrency float64 }
}

// band is where the middle 80 % of measurements lie, as multiples of what was predicted.
type band struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

//go:embed data/factors.json
var factorsJSON []byte

// stored is the JSON form of calibration.
type stored struct {
	Note     string             `json:"note"`
	Values   map[string]float64 `json:"values"`
	Bands    map[string]band    `json:"bands"`
	Fitted   []string           `json:"fitted"`
	Chips    []string           `json:"chips"`
	Devices  float64            `json:"most_devices"`
	Context  float64            `json:"longest_context"`
	Together float64            `json:"most_concurrency"`
}

// fittedFactors returns those fitted to the published measurements that came with the project.
func fittedFactors() (*calibration, error) {
	var s stored
	if err := json.Unmarshal(factorsJSON, &s); err != nil {
		return nil, fmt.Errorf("broken factors: plan: %w: this is a defect of baleen", err)
	}
	f := &calibration{bands: s.Bands, note: s.Note, fitted: map[string]bool{}, chips: map[string]bool{}}
	for i, name := range factorNames {
		v, ok := s.Values[name]
		if !ok {
			return nil, fmt.Errorf("broken factors: plan: no %s: this is a defect of baleen", name)
		}
		f.values[i] = v
	}
	for _, id := range s.Fitted {
		f.fitted[id] = true
	}
	for _, name := range s.Chips {
		f.chips[name] = true
	}
	f.most.devices, f.most.context, f.most.concurrency = s.Devices, s.Context, s.Together
	return f, nil
}

// estimate puts a band around a prediction.
func (f *calibration) estimate(value float64, class string) Estimate {
	b := f.band(class)
	return Estimate{value, value * b.Low, value * b.High}
}

// inverse does so for what becomes less as time becomes more. Bands are those of times.
func (f *calibration) inverse(value float64, class string) Estimate {
	b := f.band(class)
	return Estimate{value, value / b.High, value / b.Low}
}

func (f *calibration) band(class string) band {
	if class == ofProfile {
		return ownBand
	}
	if b, ok := f.bands[class]; ok {
		return b
	}
	return f.bands[""]
}

// beyond says in what a setting lies outside of what was measured.
func (f *calibration) beyond(r *rig, context int, concurrency float64) (list []string) {
	if !r.chip.Measured && !f.chips[r.chip.Name] {
		list = append(list, "no measurement of "+r.chip.Name+" is known: its kind's factors are used")
	}
	if n := float64(r.chips()); n > f.most.devices {
		list = append(list, fmt.Sprintf("%.0f devices together: the most that were measured are %.0f", n, f.most.devices))
	}
	if float64(context) > f.most.context {
		list = append(list, fmt.Sprintf("a context of %d: the longest that was measured is %.0f", context, f.most.context))
	}
	if concurrency > f.most.concurrency {
		list = append(list, fmt.Sprintf("%.0f sequences at once: the most that were measured are %.0f", concurrency, f.most.concurrency))
	}
	return list
}
