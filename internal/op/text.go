package op

import (
	"fmt"
	"reflect"
	"strings"
)

// String is the text form: capacities, buffers that live longer than the run, then one line for each op. It is for
// people to read and for goldens to pin; nothing parses it.
func (p *Program) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "program %s rows=%d slots=%d pages=%d context=%d\n", p.Name, p.Caps.Rows, p.Caps.Slots, p.Caps.Pages, p.Caps.Context)
	for _, b := range p.Buffers[1:] {
		if b.Space != Temp {
			fmt.Fprintf(&s, "%-6v %s %s\n", b.Space, b.Name, p.shape(b))
		}
	}
	for i, o := range p.Ops {
		fmt.Fprintf(&s, "%4d %s\n", i, p.line(o))
	}
	return s.String()
}

// line is one op: its kind, what it reads, its constants, then what it writes with its shape. An operand that is changed
// in place stands on both sides.
func (p *Program) line(o Op) string {
	var before, constants, after strings.Builder
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		name, field := strings.ToLower(v.Type().Field(i).Name), v.Field(i)
		reads, writes := direction(field.Type())
		if field.IsZero() {
			continue
		}
		if reads {
			fmt.Fprintf(&before, " %s=%s", name, p.Buffer(ID(field.Int())).Name)
		}
		if writes {
			b := p.Buffer(ID(field.Int()))
			fmt.Fprintf(&after, " %s:%s", b.Name, p.shape(b))
		}
		if !reads && !writes {
			fmt.Fprintf(&constants, " %s=%v", name, field.Interface())
		}
	}
	return KindOf(o) + before.String() + constants.String() + " ->" + after.String()
}
