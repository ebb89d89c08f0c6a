package qualify

import (
	"fmt"

	"baleen/internal/device"
	"baleen/internal/op"
)

// calm turns panics of a device into errors: a defect of it is a failed check, and the suite goes on.
type calm struct{ device.Device }

func caught(what string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the device panicked in %s: %v", what, p)
	}
}

func (c calm) Alloc(p *op.Program, id op.ID) (b device.Buffer, err error) {
	defer caught("Alloc", &err)
	return c.Device.Alloc(p, id)
}

func (c calm) Upload(b device.Buffer, parts []device.Source) (err error) {
	defer caught("Upload", &err)
	return c.Device.Upload(b, parts)
}

func (c calm) Download(b device.Buffer, offset int64, to []byte) (err error) {
	defer caught("Download", &err)
	return c.Device.Download(b, offset, to)
}

func (c calm) Load(p *op.Program, bind map[op.ID]device.Buffer) (e device.Executable, err error) {
	defer caught("Load", &err)
	return c.Device.Load(p, bind)
}

func (c calm) Run(e device.Executable, args *op.Args) (err error) {
	defer caught("Run", &err)
	return c.Device.Run(e, args)
}

func (c calm) Sync() (err error) {
	defer caught("Sync", &err)
	return c.Device.Sync()
}
