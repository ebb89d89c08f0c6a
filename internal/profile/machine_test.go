package profile

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func files(namesAndTexts ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(namesAndTexts); i += 2 {
		fsys[namesAndTexts[i]] = &fstest.MapFile{Data: []byte(namesAndTexts[i+1])}
	}
	return fsys
}

// A server with two sockets, whose kernel says all that one can say.
func TestDescribe(t *testing.T) {
	cache := func(cpu, index, level, size, shared string) []string {
		dir := "sys/devices/system/cpu/cpu" + cpu + "/cache/index" + index + "/"
		return []string{dir + "level", level + "\n", dir + "size", size + "\n", dir + "shared_cpu_list", shared + "\n"}
	}
	all := []string{
		"proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9654\nmicrocode\t: 0xa101144\n\nprocessor\t: 1\nmodel name\t: another\n",
		"proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    900 kB\nHugePages_Total:       4\nHugePages_Free:        3\nHugepagesize:       2048 kB\n",
		"proc/sys/kernel/osrelease", "6.8.0\n",
		"sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n",
		"sys/devices/system/node/node0/cpulist", "0-1\n", "sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       400 kB\nNode 0 MemFree: 1 kB\n",
		"sys/devices/system/node/node1/cpulist", "2-3\n", "sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       600 kB\n",
		"proc/self/cgroup", "0::/\n",
	}
	for _, c := range [][]string{
		cache("0", "2", "2", "1024K", "0"), cache("0", "3", "3", "32768K", "0-1"), cache("1", "3", "3", "32768K", "0-1"),
		cache("2", "3", "3", "32M", "2-3"), cache("2", "0", "1", "32K", "2"),
	} {
		all = append(all, c...)
	}
	m := Describe(files(all...))
	if key := m.Key(); !strings.HasPrefix(key, "AMD EPYC 9654 | microcode 0xa101144 | kernel 6.8.0 | ") {
		t.Errorf("key %q", key)
	}
	if m.Memory != 1000<<10 || m.Available != 900<<10 || m.LastCache != 64<<20 || m.Limit != 0 || m.CPULimit != 0 {
		t.Errorf("memory %d, available %d, cache %d, limits %d and %v", m.Memory, m.Available, m.LastCache, m.Limit, m.CPULimit)
	}
	if want := (Huge{"madvise", 2 << 20, 4, 3}); m.Huge != want {
		t.Errorf("huge pages %+v", m.Huge)
	}
	if want := []Node{{0, "0-1", 400 << 10}, {1, "2-3", 600 << 10}}; !reflect.DeepEqual(m.Nodes, want) {
		t.Errorf("nodes %+v", m.Nodes)
	}
}

// A system without /proc has no more to say than Go has.
func TestDescribeNothing(t *testing.T) {
	m := Describe(files())
	if m.CPU != "" || m.Memory != 0 || len(m.Nodes) != 0 || m.CPUs < 1 {
		t.Errorf("%+v", m)
	}
}

func TestLimits(t *testing.T) {
	const memory = 64 << 30
	for _, c := range []struct {
		name  string
		root  fstest.MapFS
		bytes int64
		cpus  float64
	}{
		{"version 2", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/b/cpu.max", "250000 100000\n"), 0, 2.5},
		{"the tightest counts", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "8589934592\n",
			"sys/fs/cgroup/a/memory.max", "4294967296\n", "sys/fs/cgroup/cpu.max", "max 100000\n"), 4 << 30, 0},
		{"inside a container", files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1073741824\n"), 1 << 30, 0},
		{"version 1", files("proc/self/cgroup", "9:name=systemd:/\n4:memory:/x\n1:cpu,cpuacct:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2147483648\n",
			"sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n", "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"), 2 << 30, 0.5},
		{"version 1 without limits", files("proc/self/cgroup", "4:memory:/\n1:cpu:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"), 0, 0},
		{"a path that leads out", files("proc/self/cgroup", "0::/../../etc\n"), 0, 0},
		{"nonsense", files("proc/self/cgroup", "\n:\n::\n", "sys/fs/cgroup/memory.max", "-3\n", "sys/fs/cgroup/cpu.max", "1 0\n"), 0, 0},
	} {
		if bytes, cpus := (system{c.root}).limits(memory); bytes != c.bytes || cpus != c.cpus {
			t.Errorf("%s: %d bytes and %v processors, expected %d and %v", c.name, bytes, cpus, c.bytes, c.cpus)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"12 kB": 12 << 10, "32768K": 32 << 20, "32M": 32 << 20, "2G": 2 << 30, "7": 7, "max": 0, "": 0, "-1": 0, "99999999999999999999": 0, "9007199254740993 kB": 0,
	} {
		if got := size(text); got != want {
			t.Errorf("%q: %d, expected %d", text, got, want)
		}
	}
}
