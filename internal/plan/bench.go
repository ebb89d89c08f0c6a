package plan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// benchReport is what is read of a `baleen bench --json` report.
type benchReport struct {
	Version int    `json:"version"`
	CPU     string `json:"cpu"`
	Key     string `json:"machine"`
	Probe   *struct {
		Read float64 `json:"read_gb_s_n"`
		BF16 float64 `json:"bf16_gflops"`
		VNNI float64 `json:"vnni_gops"`
		FMA  float64 `json:"fma_gflops"`
		Disk float64 `json:"disk_gb_s"`
	} `json:"probe"`
	Rows []struct {
		Phase     string   `json:"phase"`
		Batch     int      `json:"batch"`
		GBs       float64  `json:"gb_s"`
		Gflops    float64  `json:"gflops"`
		Projected bool     `json:"projected"`
		Hit       *float64 `json:"hit"`
	} `json:"rows"`
}

var memoryOfKey = regexp.MustCompile(`(\d+) GiB`)

// FromBench is the machine that a bench report is of, with what baleen reached of it.
func FromBench(data []byte) (Machine, error) {
	bad := func(what, mend string) (Machine, error) {
		return Machine{}, fmt.Errorf("%s: bench report: %s", what, mend)
	}
	var r benchReport
	if err := json.Unmarshal(data, &r); err != nil {
		return bad("not readable: "+err.Error(), "give what `baleen bench --json` writes")
	}
	if r.Version != 1 || r.Probe == nil || r.Probe.Read <= 0 {
		return bad("no limits of the machine in it", "give what `baleen bench --json` writes, without --window 0")
	}
	memory := memoryOfKey.FindStringSubmatch(r.Key)
	if memory == nil {
		return bad("no size of memory in it", "give what a newer `baleen bench --json` writes")
	}
	size, err := strconv.ParseFloat(memory[1], 64)
	if err != nil {
		return bad("bad size of memory", "give what `baleen bench --json` writes")
	}
	c := &Chip{
		Name: "this machine", Vendor: r.CPU, Class: processor, Memory: size * gib, Bandwidth: r.Probe.Read * 1e9, BF16: r.Probe.BF16 * 1e9, INT8: r.Probe.VNNI * 1e9,
		Disk: r.Probe.Disk * 1e9, Measured: true, Source: "baleen bench",
	}
	if c.Name = r.CPU; c.Name == "" {
		c.Name = "this machine"
	}
	if c.BF16 == 0 {
		c.BF16 = r.Probe.FMA * 1e9
	}
	var read, peak []float64
	for _, row := range r.Rows {
		switch {
		case row.Projected:
		case row.Phase == "decode" && row.Batch == 1 && row.Hit == nil:
			read = append(read, row.GBs*1e9/c.Bandwidth)
		case row.Phase == "prefill" && row.Hit == nil:
			peak = append(peak, row.Gflops*1e9/c.BF16)
		}
	}
	c.ReachedMemory, c.ReachedCompute = reached(read), reached(peak)
	return Machine{Pools: []Pool{{c, 1}}, Disk: c.Disk}, nil
}

// reached is the median of shares; 0 where there is none that can be. Above 1 the machine was faster while the rows were taken than before.
func reached(shares []float64) float64 {
	shares = slices.DeleteFunc(shares, func(x float64) bool { return !(x > 0 && x < 4) })
	if len(shares) == 0 {
		return 0
	}
	return median(shares)
}
