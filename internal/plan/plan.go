package plan

// Estimate is a prediction with its 80 % interval.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Spec is speculation: so many tokens drafted in a step, and so many of them accepted on average.
type Spec struct {
	Drafts int     `json:"drafts"`
	Accept float64 `json:"accept"`
}

// Request is what is to be planned.
type Request struct {
	Model   *Shape
	Machine Machine

	In, Out     int     // tokens of a request
	Context     int     // tokens that a sequence sees while it decodes; 0 is In + Out/2
	Concurrency int     // sequences at once; with Rate, at most
	Rate        float64 // requests a second; 0 is as many as Concurrency makes
	Cached      float64 // share of prompt tokens that are remembered
	Spec        Spec
	Layout      *Layout // nil: the best is looked for
}

// Layout is how a model is cut over the chips of the first pool, or, where Prefill is not 0, over those and the others.
type Layout struct {
	TP       int // tensor parallel: attention and dense matrices are cut in so many
	EP       int // expert parallel: experts are spread over so many
	DP       int // data parallel attention: so many hold attention whole, each for its own sequences; TP*DP chips in a stage
	PP       int // pipeline stages
	Replicas int // copies of all that
	Prefill  int // chips that only read prompts; 0: the same chips do both

	SSD float64 // share of routed experts read from disk
	Hit float64 // share of routed experts wanted that are in the faster tier
}

// Part is a share of something, named.
type Part struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Point is one place on the curve of latency against concurrency.
type Point struct {
	Concurrency int      `json:"concurrency"`
	TPOT        Estimate `json:"tpot_ms"`
	TTFT        Estimate `json:"ttft_ms"`
	Output      Estimate `json:"output_tok_s"`
	Dollars     float64  `json:"usd_per_m_output"` // 0: no price known
	Fits        bool     `json:"fits"`
}

// Percentiles are what a simulation of arrivals gave, in milliseconds.
type Percentiles struct {
	Requests   int     `json:"requests"`
	Refused    int     `json:"refused"`
	TTFT50     float64 `json:"ttft_ms_p50"`
	TTFT90     float64 `json:"ttft_ms_p90"`
	TTFT99     float64 `json:"ttft_ms_p99"`
	TPOT50     float64 `json:"tpot_ms_p50"`
	TPOT90     float64 `json:"tpot_ms_p90"`
	TPOT99     float64 `json:"tpot_ms_p99"`
	Busy       float64 `json:"busy"`  // share of the time in which a batch ran
	Batch      float64 `json:"batch"` // mean sequences in a batch
	Output     float64 `json:"output_tok_s"`
	Scaled     int     `json:"scaled"` // replicas that the one simulated stands for
	Saturated  bool    `json:"saturated"`
	Simulation float64 `json:"simulated_s"`
}

// Plan is the answer.
type Plan struct {
	Version int    `json:"version"`
	Model   string `json:"model"`
	On      string `json:"on"`
	Fits    bool   `json:"fits"`
	Why     string `json:"why,omitempty"` // what does not fit, and what would
	Layout  string `json:"layout"`
	Chips   int    `json:"devices"`
	Spec    Spec   `json:"speculation"`

	In          int     `json:"in"`
	Out         int     `json:"out"`
	Context     int     `json:"context"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate,omitempty"`

	Memory   []Part  `json:"memory_bytes"`   // of the fullest chip, and what is left
	Host     []Part  `json:"host_bytes"`     // of host memory and disk
	Capacity float64 `json:"capacity_bytes"` // of a chip
	Most     int     `json:"max_concurrency"`

	TTFT    Estimate `json:"ttft_ms"`
	TPOT    Estimate `json:"tpot_ms"`
	Output  Estimate `json:"output_tok_s"`
	Prefill Estimate `json:"prefill_tok_s"`
	Time    []Part   `json:"token_ms"` // of a token, by what it goes into; together TPOT
	Limited string   `json:"limited_by"`

	Watts     float64  `json:"watts"`
	Price     float64  `json:"usd"`
	Hourly    float64  `json:"usd_per_hour"`
	PerInput  Estimate `json:"usd_per_m_input"`
	PerOutput Estimate `json:"usd_per_m_output"`

	Curve       []Point      `json:"curve"`
	Percentiles *Percentiles `json:"percentiles,omitempty"`
	Assumed     []string     `json:"assumed"`      // what was taken for what is not known
	Extrapolate []string     `json:"extrapolated"` // in what it lies outside of what was measured
	Sources     []string     `json:"sources"`      // of the figures of each chip
}
