package profile

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Machine is which machine this is and what it lets this process use. What a system does not tell is empty or 0.
type Machine struct {
	CPU       string  `json:"cpu"`
	Microcode string  `json:"microcode"`
	Kernel    string  `json:"kernel"`
	Platform  string  `json:"platform"`
	CPUs      int     `json:"cpus"`         // that this process may run on
	LastCache int64   `json:"last_cache"`   // bytes of the last level of cache, all of its instances
	Memory    int64   `json:"memory"`       // bytes
	Available int64   `json:"available"`    // bytes of memory that are free or can be freed
	Limit     int64   `json:"memory_limit"` // bytes that the control group allows; 0 is no limit
	CPULimit  float64 `json:"cpu_limit"`    // processors' worth of time that the control group allows; 0 is no limit
	Nodes     []Node  `json:"numa_nodes"`   // at least one where the system tells of them
	Huge      Huge    `json:"huge_pages"`
}

// Node is one NUMA node.
type Node struct {
	ID     int    `json:"id"`
	CPUs   string `json:"cpus"` // as the kernel lists them: "0-31,64-95"
	Memory int64  `json:"memory"`
}

// Huge is how the kernel hands out huge pages.
type Huge struct {
	Transparent string `json:"transparent"` // always, madvise or never
	Size        int64  `json:"size"`
	Total       int64  `json:"total"` // reserved pages
	Free        int64  `json:"free"`
}

// Key names the machine for comparing profiles: CPU model, microcode, kernel and memory.
func (m Machine) Key() string {
	return fmt.Sprintf("%s | microcode %s | kernel %s | %d cpus | %.0f GiB", m.CPU, m.Microcode, m.Kernel, m.CPUs, float64(m.Memory)/(1<<30))
}

// Describe reads what /proc and /sys under root say. What is not there is left out: other systems have neither.
func Describe(root fs.FS) Machine {
	s := system{root}
	cpu := s.table("proc/cpuinfo")
	memory := s.table("proc/meminfo")
	m := Machine{
		CPU: first(cpu["model name"], cpu["Hardware"], cpu["CPU implementer"]), Microcode: cpu["microcode"],
		Kernel: s.line("proc/sys/kernel/osrelease"), Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
		LastCache: s.lastCache(), Memory: size(memory["MemTotal"]), Available: size(memory["MemAvailable"]),
		Nodes: s.nodes(),
		Huge: Huge{
			Transparent: chosen(s.line("sys/kernel/mm/transparent_hugepage/enabled")), Size: size(memory["Hugepagesize"]),
			Total: size(memory["HugePages_Total"]), Free: size(memory["HugePages_Free"]),
		},
	}
	m.Limit, m.CPULimit = s.limits(m.Memory)
	return m
}

// PeakMemory is the most memory that this process has had so far, in bytes; 0 where the system does not tell.
func PeakMemory() int64 { return size(system{os.DirFS("/")}.table("proc/self/status")["VmHWM"]) }

// ForgetPeak lets PeakMemory begin again at what the process has now. Not every system allows that.
func ForgetPeak() error {
	const peak = "5" // proc(5), clear_refs
	return os.WriteFile("/proc/self/clear_refs", []byte(peak), 0o200)
}

// system reads small files.
type system struct{ fs.FS }

// mostText bounds such a file; a /proc/cpuinfo of 1,000 processors has 2 MB.
const mostText = 16 << 20

func (s system) text(name string) string {
	f, err := s.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, mostText))
	if err != nil {
		return ""
	}
	return string(data)
}

func (s system) line(name string) string {
	line, _, _ := strings.Cut(s.text(name), "\n")
	return strings.TrimSpace(line)
}

// table reads lines of "name: value". The first of a name counts, as /proc/cpuinfo repeats them for every processor.
func (s system) table(name string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(s.text(name)) {
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if _, twice := values[name]; ok && !twice {
			values[name] = strings.TrimSpace(value)
		}
	}
	return values
}

// lastCache adds up the caches of the highest level. Each is listed at every processor that shares it.
func (s system) lastCache() int64 {
	deepest, total := 0, int64(0)
	var seen map[string]bool
	dirs, _ := fs.Glob(s, "sys/devices/system/cpu/cpu[0-9]*/cache/index*")
	for _, dir := range dirs {
		level, _ := strconv.Atoi(s.line(path.Join(dir, "level")))
		if level > deepest {
			deepest, total, seen = level, 0, map[string]bool{}
		}
		shared := s.line(path.Join(dir, "shared_cpu_list"))
		if level == 0 || level < deepest || seen[shared] {
			continue
		}
		seen[shared] = true
		total += size(s.line(path.Join(dir, "size")))
	}
	return total
}

func (s system) nodes() []Node {
	nodes := []Node{}
	dirs, _ := fs.Glob(s, "sys/devices/system/node/node[0-9]*")
	for _, dir := range dirs {
		id, err := strconv.Atoi(strings.TrimPrefix(path.Base(dir), "node"))
		if err != nil {
			continue
		}
		node := Node{ID: id, CPUs: s.line(path.Join(dir, "cpulist"))}
		for line := range strings.Lines(s.text(path.Join(dir, "meminfo"))) {
			if _, value, ok := strings.Cut(line, "MemTotal:"); ok {
				node.Memory = size(value)
			}
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// limits finds the tightest limits of the control groups that the process is in, of version 1 or 2, from its own up to
// the root. A limit that is not below the machine's memory is none.
func (s system) limits(memory int64) (bytes int64, cpus float64) {
	bytes, cpus = math.MaxInt64, math.Inf(1)
	for line := range strings.Lines(s.text("proc/self/cgroup")) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		for _, dir := range s.groupDirs(part[1], part[2]) {
			for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
				if n := size(s.line(path.Join(dir, name))); n > 0 {
					bytes = min(bytes, n)
				}
			}
			cpus = min(cpus, s.quota(dir))
		}
	}
	if bytes >= memory {
		bytes = 0
	}
	if math.IsInf(cpus, 1) {
		cpus = 0
	}
	return bytes, cpus
}

// groupDirs lists where a control group and those above it may be mounted.
func (s system) groupDirs(controllers, group string) (dirs []string) {
	base := path.Join("sys/fs/cgroup", controllers)
	for dir := path.Join(base, group); ; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == base || !strings.HasPrefix(dir, base) {
			return dirs
		}
	}
}

// quota is the processor time that a control group allows, in processors.
func (s system) quota(dir string) float64 {
	quota, period := s.line(path.Join(dir, "cpu.cfs_quota_us")), s.line(path.Join(dir, "cpu.cfs_period_us"))
	if both := strings.Fields(s.line(path.Join(dir, "cpu.max"))); len(both) == 2 {
		quota, period = both[0], both[1]
	}
	of, err1 := strconv.ParseFloat(quota, 64)
	in, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || of <= 0 || in <= 0 {
		return math.Inf(1)
	}
	return of / in
}

// size reads a number with a unit: "24601234 kB", "32768K", "4096", "max".
func size(text string) int64 {
	text = strings.TrimSuffix(strings.TrimSpace(text), "B")
	unit := int64(1)
	for suffix, n := range map[string]int64{"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = rest, n
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0
	}
	return n * unit
}

// chosen finds the word in brackets: "always [madvise] never".
func chosen(text string) string {
	_, rest, _ := strings.Cut(text, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

func first(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}
