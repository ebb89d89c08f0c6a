//go:build !faults

package qualify

import "baleen/internal/device"

// FaultNames is empty: this build can plant none.
func FaultNames() []string { return nil }

// Plant returns the device as it is: this build can plant nothing.
func Plant(_ string, d device.Device) (device.Device, error) { return d, nil }
