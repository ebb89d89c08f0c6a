package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts: add takes in a file, machine reads the text of --on, chip shows what is taken for a chip.
func TestHardwareScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/hardware", func(t *testing.T, path string) {
		table := hardware(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "add":
				if err := table.Add([]byte(d.Input)); err != nil {
					fmt.Fprintf(&out, "error: %v\n", err)
				}
			case "machine":
				for on := range strings.Lines(d.Input) {
					showMachine(&out, table, strings.TrimSuffix(on, "\n"))
				}
			case "chip":
				c, err := table.find(d.Input)
				if err != nil {
					return fmt.Sprintf("error: %v\n", err)
				}
				fmt.Fprintf(&out, "%s, %s, class %d, domain %d, %.4g GiB, %g GB/s\n", c.Name, c.Vendor, c.Class, c.Domain(), c.Memory/(1<<30), c.Bandwidth/1e9)
				fmt.Fprintf(&out, "FP4 %g, FP8 %g, INT8 %g, BF16 %g tera; links %g, %g GB/s; %g W, $%g, $%g/h\n", c.FP4/1e12, c.FP8/1e12, c.INT8/1e12, c.BF16/1e12, c.Intra/1e9, c.Inter/1e9, c.Watts, c.Price, c.Rental)
				fmt.Fprintf(&out, "%s\n", c.Source)
				for _, line := range c.Assumed {
					fmt.Fprintf(&out, "assumed: %s\n", line)
				}
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return out.String()
		})
	})
}

func showMachine(out *strings.Builder, table *Table, on string) {
	m, err := table.Machine(on)
	if err != nil {
		fmt.Fprintf(out, "%s → error: %v\n", on, err)
		return
	}
	var items []string
	for _, p := range m.Pools {
		items = append(items, fmt.Sprintf("%d x %s", p.Count, p.Chip.Name))
	}
	if m.Disk > 0 {
		items = append(items, fmt.Sprintf("disk %g GB/s", m.Disk/1e9))
	}
	fmt.Fprintf(out, "%s → %s\n", on, strings.Join(items, " + "))
}

// The names of the study's measurements (columns hardware and host_hardware of anchors.csv).
var anchorNames = strings.Split(strings.TrimSpace(`
Ascend 910B3 64GB (Atlas 800 A2)
Ascend 910C 128GB (Atlas 800 A3, CloudMatrix)
Ascend 910C die 64GB
Ascend 950DT
Ascend 950PR (as announced)
B200 SXM 180GB
B300 SXM 268GB
Core i5-1340P laptop
DGX Spark GB10 128GB
EPYC 9135 (Zen 5, 16 cores)
EPYC 9175F (Zen 5, 16 cores)
EPYC 9354 (Zen 4, 32 cores)
EPYC 9V45 (Zen 5, 32 cores)
EPYC Rome (Zen 2, 64 cores)
GB200 NVL72 (per GPU)
GB300 NVL72 (per GPU)
H100 SXM5 80GB
H20-3e SXM 141GB
H200 SXM 141GB
H800 SXM 80GB
Jetson Thor 128GB
Kunpeng 40-core 1-NUMA (A3 host slice)
M3 Max 128GB
M3 Ultra 512GB
M4 Max 128GB
MI355X 288GB
RTX 4090 24GB
RTX 5080 16GB
RTX 5090 32GB
RTX PRO 6000 Blackwell 96GB
Ryzen 7 5800X (Zen 3, 8 cores)
Ryzen 7 6800H (Zen 3+, 8 cores)
Ryzen AI Max+ 395 (Strix Halo) 128GB
Xeon Gold 6454S (32 cores, AMX)
Xeon Silver 4510 (12 cores, AMX)
`), "\n")

func TestAnchorNames(t *testing.T) {
	table := hardware(t)
	for _, name := range anchorNames {
		for _, spelled := range []string{name, strings.ToLower(name), "  " + strings.ReplaceAll(name, " ", "  ")} {
			m, err := table.Machine("4 x " + spelled)
			if name == "Core i5-1340P laptop" {
				if want := `no such chip: "` + strings.Join(strings.Fields(spelled), " ") + `": none is called like this: describe it in a --hardware file`; err == nil || err.Error() != want {
					t.Errorf("%v, expected %s", err, want)
				}
				continue
			}
			if err != nil || len(m.Pools) != 1 || m.Pools[0].Count != 4 || m.Pools[0].Chip.Name != name {
				t.Errorf("%q: %+v, %v", spelled, m, err)
			}
		}
	}
}

// Every name means itself, whatever stands before and after.
func TestEveryNameInAList(t *testing.T) {
	table := hardware(t)
	for _, c := range table.Chips() {
		m, err := table.Machine("3x " + c.Name + " + " + c.Vendor + " " + c.Name + "+2x" + c.Name + " + 2 x ssd 500MB/s")
		if err != nil || len(m.Pools) != 3 || m.Disk != 1e9 {
			t.Fatalf("%s: %+v, %v", c.Name, m, err)
		}
		for i, count := range []int{3, 1, 2} {
			if p := m.Pools[i]; p.Chip.Name != c.Name || p.Count != count {
				t.Errorf("%s: %d x %s", c.Name, p.Count, p.Chip.Name)
			}
		}
	}
}

func TestMachineBounds(t *testing.T) {
	table := hardware(t)
	for _, test := range []struct{ on, want string }{
		{strings.Repeat(" ", 992) + "8 x B200", ""},
		{strings.Repeat(" ", 993) + "8 x B200", "bad machine: 1001 bytes"},
		{strings.Repeat("B200+", 31) + "B200", ""},
		{strings.Repeat("B200+", 32) + "B200", "bad machine: 33 chips and disks"},
		{"\xff", "plain text"},
		{strings.Repeat("b200 ", 50), "no such chip"},
	} {
		_, err := table.Machine(test.on)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.30q: %v, expected %q", test.on, err, test.want)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"h2o", "h20", 1}, {"flaw", "lawn", 2}, {"950td", "950dt", 2}, {"ü", "u", 1}} {
		if got := edits([]rune(test.a), []rune(test.b)); got != test.want {
			t.Errorf("%q, %q: %d, expected %d", test.a, test.b, got, test.want)
		}
		if got := edits([]rune(test.b), []rune(test.a)); got != test.want {
			t.Errorf("%q, %q: %d, expected %d", test.b, test.a, got, test.want)
		}
	}
}

func checkMachine(t *testing.T, table *Table, on string) {
	t.Helper()
	m, err := table.Machine(on)
	if err != nil {
		if oneLine(err) || m.Pools != nil || !strings.Contains(err.Error(), ": ") {
			t.Fatalf("%q: %q", on, err)
		}
		return
	}
	if len(m.Pools) == 0 || !(m.Disk >= 0) || math.IsInf(m.Disk, 0) {
		t.Fatalf("%q: %+v", on, m)
	}
	for _, p := range m.Pools {
		if p.Count < 1 || p.Count > mostCount {
			t.Fatalf("%q: %d", on, p.Count)
		}
		checkChip(t, p.Chip)
	}
}

func FuzzMachine(f *testing.F) {
	for _, seed := range []string{
		"16 x Ascend 950DT + 2 x EPYC 9755", "16x b200", "H20-3e", "910c die", "2 x SSD 3.5GB/s + m3 ultra", "7 GB/s SSD", "Xeon Platinum 8480+ + Ryzen AI Max+ 395+SSD 1GB/s", "0 x H20",
		"1000000 x CloudMatrix 384", "CloudMatrix 384", "+", "x", "2 x", "SSD", "SSD .GB/s + b200", "ü + é", "2 Xeon 6980P", "rtx5090", "99999999999999999999 x H20", "h\n20",
	} {
		f.Add(seed)
	}
	table := hardware(f)
	f.Fuzz(func(t *testing.T, on string) { checkMachine(t, table, on) })
}
