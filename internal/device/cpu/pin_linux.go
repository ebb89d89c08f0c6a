package cpu

import "golang.org/x/sys/unix"

// pin binds the calling thread to the i-th of the processors that the process may use. Where that is not allowed, the
// thread stays where the system puts it.
func pin(i int) {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return
	}
	n := allowed.Count()
	if n == 0 {
		return
	}
	for cpu, seen := 0, 0; seen < n; cpu++ {
		if !allowed.IsSet(cpu) {
			continue
		}
		if seen == i%n {
			var one unix.CPUSet
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one) // refused: the thread is not pinned
			return
		}
		seen++
	}
}
