package cpu

import "golang.org/x/sys/unix"

// allowedProcessors are those that the process may use, or nil where the system does not tell.
func allowedProcessors() (list []int) {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return nil
	}
	for cpu, n := 0, allowed.Count(); len(list) < n; cpu++ {
		if allowed.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}

// pin binds the calling thread to a processor. Where that is not allowed, the thread stays where the system puts it.
func pin(processor int) {
	var one unix.CPUSet
	one.Set(processor)
	_ = unix.SchedSetaffinity(0, &one)
}
