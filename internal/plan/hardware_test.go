package plan

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"baleen/internal/profile"
)

func hardware(t testing.TB) *Table {
	t.Helper()
	table, err := Hardware()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func chipOf(t testing.TB, table *Table, name string) *Chip {
	t.Helper()
	c, err := table.find(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The columns of the study are as they were given: the digest is that of the cells of its hardware.csv.
func TestHardwareIsTheStudys(t *testing.T) {
	records, err := csv.NewReader(strings.NewReader(hardwareCSV)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, record := range records {
		fmt.Fprintln(h, strings.Join(record[:18], "\x1f"))
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), "f10268c94d2728d5d881df0cec50d3b83873549857b25f06ed74a048370c5ba1"; got != want {
		t.Errorf("digest of the cells is %s, expected %s", got, want)
	}
	if n := len(hardware(t).entries); n != len(records)-1 || n != 63 {
		t.Errorf("%d rows, expected 63", n)
	}
}

// All can be planned with but the row that is a machine of many chips.
func TestEveryChip(t *testing.T) {
	chips := hardware(t).Chips()
	if len(chips) != 62 {
		t.Errorf("%d chips, expected 62", len(chips))
	}
	for _, c := range chips {
		if c.Memory <= 0 || c.Bandwidth <= 0 || c.BF16 <= 0 || c.Inter <= 0 || c.Domain() < 1 || c.Domain() > 1 && c.Intra <= 0 || c.Source == "" {
			t.Errorf("%+v: a figure is missing", c)
		}
	}
}

// Figures as read in the file by eye.
func TestHardwareFigures(t *testing.T) {
	table := hardware(t)
	for _, want := range []Chip{
		{Name: "H100 SXM5 80GB", Vendor: "NVIDIA", Memory: 80 << 30, Bandwidth: 3350e9, FP8: 1979e12, INT8: 1979e12, BF16: 989e12, Intra: 450e9, Inter: 50e9, Watts: 700, Rental: 1.3, domain: 8},
		{Name: "GB300 NVL72 (per GPU)", Vendor: "NVIDIA", Memory: 288 << 30, Bandwidth: 8000e9, FP4: 15000e12, FP8: 5000e12, BF16: 2500e12, Intra: 900e9, Inter: 100e9, Watts: 1400, Rental: 3.96, domain: 72},
		{Name: "RTX 5090 32GB", Vendor: "NVIDIA", Memory: 32 << 30, Bandwidth: 1792e9, FP4: 1676e12, FP8: 838e12, INT8: 838e12, BF16: 209.5e12, Intra: 64e9, Inter: 25e9, Watts: 575, Price: 1999, domain: 8},
		{Name: "Ascend 910C 128GB (Atlas 800 A3, CloudMatrix)", Vendor: "Huawei", Memory: 128 << 30, Bandwidth: 3200e9, INT8: 1504e12, BF16: 752e12, Intra: 392e9, Inter: 50e9, Watts: 700, domain: 384},
		{Name: "DGX Spark GB10 128GB", Vendor: "NVIDIA", Class: unified, Memory: 119.7 * (1 << 30), Bandwidth: 273e9, FP4: 427e12, FP8: 214e12, INT8: 214e12, BF16: 213e12, Inter: 25e9, Watts: 140, Price: 3999, domain: 1},
		{Name: "M3 Ultra 512GB", Vendor: "Apple", Class: unified, Memory: 512 << 30, Bandwidth: 819e9, INT8: 204e12, BF16: 102e12, Inter: 1.25e9, Watts: 295, Price: 9499, domain: 1},
		{Name: "Xeon Gold 6454S (32 cores, AMX)", Vendor: "Intel", Class: processor, Memory: 4096 << 30, Bandwidth: 307.2e9, INT8: 144e12, BF16: 72e12, Intra: 48e9, Inter: 50e9, Watts: 270, domain: 2},
		{Name: "2-core Zen 4 EPYC VM (project machine)", Vendor: "AMD", Class: processor, Memory: 23 << 30, Bandwidth: 55e9, INT8: 0.93e12, BF16: 0.46e12, Inter: 12.5e9, Measured: true, Disk: 1e9, domain: 1},
	} {
		got := *chipOf(t, table, want.Name)
		if got.Source == "" || len(got.Assumed) != 0 {
			t.Errorf("%s: source %q, assumed %q", want.Name, got.Source, got.Assumed)
		}
		got.Source, got.Notes, got.Assumed = "", "", nil
		if !nearly(got, want) {
			t.Errorf("%+v\nexpected %+v", got, want)
		}
	}
}

// nearly compares chips, figures up to rounding.
func nearly(a, b Chip) bool {
	figures := func(c *Chip) []*float64 {
		return []*float64{&c.Memory, &c.Bandwidth, &c.FP4, &c.FP8, &c.INT8, &c.BF16, &c.Intra, &c.Inter, &c.Watts, &c.Price, &c.Rental, &c.Disk}
	}
	for i, x := range figures(&a) {
		y := figures(&b)[i]
		if math.Abs(*x-*y) > 1e-12*math.Abs(*y) {
			return false
		}
		*y = *x
	}
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func TestClasses(t *testing.T) {
	count := map[Class]int{}
	table := hardware(t)
	for i := range table.entries {
		e := &table.entries[i]
		if e.parts != "" {
			continue
		}
		c, err := table.chip(e, 1)
		if err != nil {
			t.Fatal(err)
		}
		count[c.Class]++
		if guess := guessClass(c.Vendor, c.Name); guess != c.Class {
			t.Errorf("%s: guessed %d, stated %d", c.Name, guess, c.Class)
		}
	}
	if count[accelerator] != 35 || count[unified] != 9 || count[processor] != 18 {
		t.Errorf("classes %v", count)
	}
}

// What is taken for what was not published, worked out by hand, and that it is said.
func TestAssumed(t *testing.T) {
	table := hardware(t)
	for _, test := range []struct {
		name            string
		fp8, int8, bf16 float64 // tera
		said            string
	}{
		{"EPYC 9755 (Zen 5, 128 cores)", 0, 114.688, 57.344, "128 cores at 3.5 GHz, 128 BF16 and 256 INT8 in a cycle (Zen 5, AVX-512)"},
		{"EPYC 9354 (Zen 4, 32 cores)", 0, 14.5408, 7.2704, "32 cores at 3.55 GHz"},
		{"EPYC Rome (Zen 2, 64 cores)", 0, 12.288, 6.144, "AVX2"},
		{"Ryzen 7 6800H (Zen 3+, 8 cores)", 0, 2.048, 1.024, "8 cores at 4 GHz"},
		{"Kunpeng 920 (4 sockets x 48 cores)", 0, 31.9488, 7.9872, "192 cores at 2.6 GHz"},
		{"M3 Max 128GB", 0, 102, 51, "in proportion from M3 Ultra 512GB, 40/80"},
		{"M2 Ultra 192GB", 0, 193.8, 96.9, "M3 Ultra"},
		{"M5 Max 128GB", 0, 140, 70, "M4 Max"},
		{"M5 24GB", 0, 35, 17.5, "M4 Max"},
		{"Jetson Thor 128GB", 517, 517, 258.5, "BF16"},
		{"Ascend 950DT", 1000, 0, 500, "BF16"},
		{"Ascend 960 (2027-Q4 roadmap)", 2000, 0, 1000, "BF16"},
		{"Atlas 350 card (Ascend 950PR as shipped)", 780, 0, 390, "Ascend 950PR (as announced), 1560/2000"},
		{"A100 SXM4 80GB", 0, 624, 312, ""},
	} {
		c := chipOf(t, table, test.name)
		for i, figure := range [...][2]float64{{c.FP8, test.fp8}, {c.INT8, test.int8}, {c.BF16, test.bf16}} {
			if math.Abs(figure[0]-figure[1]*1e12) > 1e-9*figure[0] {
				t.Errorf("%s: figure %d is %g, expected %g tera", test.name, i, figure[0], figure[1])
			}
		}
		if said := strings.Join(c.Assumed, "\n"); !strings.Contains(said, test.said) || test.said == "" && said != "" {
			t.Errorf("%s: said %q, expected %q in it", test.name, said, test.said)
		}
	}
	if c := chipOf(t, table, "Kunpeng 40-core 1-NUMA (A3 host slice)"); c.Memory != 160<<30 || len(c.Assumed) != 2 || !strings.Contains(c.Assumed[0], "160 GiB") {
		t.Errorf("%g bytes, %q", c.Memory, c.Assumed)
	}
}

// The rule for processors gives what is known of the ones whose operations are derived elsewhere or measured.
func TestProcessorRule(t *testing.T) {
	for _, test := range []struct {
		name                  string
		int8, bf16, tolerance float64
	}{
		{"EPYC 9654 (Zen 4, 96 cores)", 43.6e12, 21.8e12, 0.005},      // the table's own derivation
		{"2-core Zen 4 EPYC VM", 0.94e12, 0.467e12, 0.04},             // measured, performance.md section 4
		{"Xeon Platinum 8480+ (56 cores, AMX)", 229e12, 115e12, 0.01}, // the table's derivation, at 2.0 GHz
		{"Kunpeng, 32 cores", 33 * 155e9, 0, 0.05},                    // the balance that cann-recipes-infer gives
	} {
		c := Chip{Name: test.name, Class: processor}
		c.assumeProcessor()
		if math.Abs(c.INT8/test.int8-1) > test.tolerance || test.bf16 > 0 && math.Abs(c.BF16/test.bf16-1) > test.tolerance {
			t.Errorf("%s: %g INT8, %g BF16", test.name, c.INT8, c.BF16)
		}
	}
}

// What links are taken to be is said where so many chips use them, and only there.
func TestAssumedLinks(t *testing.T) {
	table := hardware(t)
	for _, test := range []struct {
		on          string
		host, hosts bool
	}{
		{"2 x RTX 5090", false, false}, {"9 x RTX 5090", false, true}, {"1 x C500", false, false}, {"8 x C500", true, false}, {"16 x C500", true, true},
		{"72 x GB300", false, false}, {"144 x GB300", false, false}, {"2 x EPYC 9V45", true, false}, {"2 x M5 24GB", false, true}, {"8192 x Ascend 950DT", false, false}, {"8193 x Ascend 950DT", false, true},
	} {
		m, err := table.Machine(test.on)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(m.Pools[0].Chip.Assumed, "\n")
		if strings.Contains(said, "links within a host") != test.host || strings.Contains(said, "network not published") != test.hosts {
			t.Errorf("%s: said %q", test.on, said)
		}
	}
	if c := chipOf(t, table, "C500"); c.Intra != 32e9 || c.Inter != 25e9 {
		t.Errorf("C500: %g, %g", c.Intra, c.Inter)
	}
	if c := chipOf(t, table, "Atlas 350 card"); c.Intra != 64e9 {
		t.Errorf("Atlas 350: %g", c.Intra)
	}
}

func TestDomains(t *testing.T) {
	table := hardware(t)
	for name, want := range map[string]int{
		"B200": 8, "GB200 NVL72": 72, "910C": 384, "910C die": 768, "Ascend 950DT": 8192, "RTX 4090": 8, "M4 Max": 1, "DGX Spark": 1, "EPYC 9755": 2, "Ryzen 9 5950X": 1,
		"Kunpeng 920": 1, "Trainium 2": 64,
	} {
		if got := chipOf(t, table, name).Domain(); got != want {
			t.Errorf("%s: %d, expected %d", name, got, want)
		}
	}
	for _, c := range []struct {
		Chip
		want int
	}{{Chip{}, 8}, {Chip{Class: unified}, 1}, {Chip{Class: processor}, 2}, {Chip{Class: processor, Measured: true}, 1}} {
		if got := c.Domain(); got != c.want {
			t.Errorf("class %d, measured %v: %d, expected %d", c.Class, c.Measured, got, c.want)
		}
	}
}

// A profile as the package that measures writes it.
func TestAddProfile(t *testing.T) {
	p := profile.Profile{Version: profile.Version, Machine: profile.Machine{CPU: "AMD  EPYC 9B14\t(Genoa) 96-Core", Memory: 25_000_000_000, Limit: 24_000_000_000},
		Limits: profile.Limits{Read1: 28, ReadN: 54.5, BF16: 467, VNNI: 940, FMA: 244, Disk: 1.07}}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	table := hardware(t)
	if err := table.Add(text); err != nil {
		t.Fatal(err)
	}
	want := Chip{Name: "AMD EPYC 9B14 (Genoa) 96-Core (this machine)", Class: processor, Memory: 24e9, Bandwidth: 54.5e9, INT8: 940e9, BF16: 467e9, Inter: 12.5e9,
		Measured: true, Disk: 1.07e9, Source: "measured by baleen probe", domain: 1}
	for _, name := range []string{"this machine", "AMD EPYC 9B14", want.Name} {
		if got := *chipOf(t, table, name); !nearly(got, want) || got.Assumed != nil {
			t.Errorf("%+v\nexpected %+v", got, want)
		}
	}
	if m, err := table.Machine("2 x this machine"); err != nil || math.Abs(m.Disk-2.14e9) > 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := table.Machine("this machine + SSD 3GB/s"); err != nil || m.Disk != 3e9 {
		t.Errorf("%+v, %v", m, err)
	}
	p.Machine = profile.Machine{Memory: 1 << 30}
	p.BF16 = 0
	text, _ = json.MarshalIndent(p, "", "  ")
	table = hardware(t)
	if err := table.Add(append([]byte("\ufeff \n"), text...)); err != nil {
		t.Fatal(err)
	}
	if c := chipOf(t, table, "This Machine"); c.Name != "this machine" || c.BF16 != 244e9 || c.Memory != 1<<30 {
		t.Errorf("%+v", c)
	}
}

// A bad file changes nothing.
func TestAddIsAllOrNothing(t *testing.T) {
	table := hardware(t)
	if err := table.Add([]byte("name,price_usd\nH20 SXM 96GB,12\nnew one,bad\n")); err == nil {
		t.Fatal("no error")
	}
	if c := chipOf(t, table, "H20"); c.Price != 0 || len(table.entries) != 63 {
		t.Errorf("price %g, %d entries", c.Price, len(table.entries))
	}
	other := hardware(t)
	if err := other.Add([]byte("name,price_usd\nH20 SXM 96GB,12\n")); err != nil {
		t.Fatal(err)
	}
	if chipOf(t, other, "H20").Price != 12 || chipOf(t, hardware(t), "H20").Price != 0 {
		t.Error("tables share what was added")
	}
}

func TestAddBounds(t *testing.T) {
	rows := func(n int) []byte {
		var b strings.Builder
		b.WriteString("name\n")
		for i := range n {
			fmt.Fprintf(&b, "chip number %d\n", i)
		}
		return []byte(b.String())
	}
	if err := hardware(t).Add(rows(mostEntries - 63)); err != nil {
		t.Error(err)
	}
	if err := hardware(t).Add(rows(mostEntries - 62)); err == nil || !strings.Contains(err.Error(), "line 1939, column 1: more than 2000 chips") {
		t.Error(err)
	}
	if err := hardware(t).Add(make([]byte, mostHardware+1)); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

func FuzzAdd(f *testing.F) {
	for _, seed := range []string{
		"", "{", "{}", "name\n", "name,class\nX,cpu\n", "name,memory_gib,memory_bw_gb_s,bf16_dense_tflops\nA B,1,2,3\n", "name,like\nA,1/2 H20 SXM 96GB\n",
		"name,consists_of\nA,2 x A + SSD 1GB/s\n", "name,consists_of\nA,2 x B\nB,3 x A\n", "name\n\"a\nb\"\n", "\ufeffname,notes\nx,\"y\n", "name,domain\nA,0\n", hardwareCSV,
		`{"version":1,"machine":{"cpu":"x","memory":1e9},"read_gb_s_n":1,"bf16_gflops":2}`, `{"version":1,"machine":{"cpu":"2 x + SSD","memory":1},"read_gb_s_n":1,"fma_gflops":2}`,
	} {
		f.Add([]byte(seed), "2 x A")
	}
	f.Fuzz(func(t *testing.T, data []byte, on string) {
		table := hardware(t)
		before := len(table.entries)
		if err := table.Add(data); err != nil {
			if oneLine(err) || len(table.entries) != before {
				t.Fatalf("%q, %d entries", err, len(table.entries))
			}
			return
		}
		for _, c := range table.Chips() {
			checkChip(t, c)
			if got, err := table.find(c.Name); err != nil || got.Name != c.Name {
				t.Fatalf("%q is not found: %v", c.Name, err)
			}
			if m, err := table.Machine(c.Name); err != nil || len(m.Pools) != 1 || m.Pools[0].Chip.Name != c.Name {
				t.Fatalf("%q is no machine: %v", c.Name, err)
			}
		}
		checkMachine(t, table, on)
	})
}

// oneLine tells whether an error is more than one line.
func oneLine(err error) bool { return strings.ContainsAny(err.Error(), "\n\r") }

func checkChip(t *testing.T, c *Chip) {
	t.Helper()
	for _, x := range []float64{c.Memory, c.Bandwidth, c.BF16, c.Inter} {
		if !(x > 0) || math.IsInf(x, 0) {
			t.Fatalf("%+v", c)
		}
	}
	for _, x := range []float64{c.FP4, c.FP8, c.INT8, c.Intra, c.Watts, c.Price, c.Rental, c.Disk} {
		if !(x >= 0) || math.IsInf(x, 0) {
			t.Fatalf("%+v", c)
		}
	}
	if c.Domain() < 1 || c.Domain() > 1 && c.Intra == 0 || c.Name == "" || c.Source == "" {
		t.Fatalf("%+v", c)
	}
}
