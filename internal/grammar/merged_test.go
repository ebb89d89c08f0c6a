package grammar

import (
	"fmt"
	"strings"
	"testing"
)

// TestMergedMembers: schemas that hold together have all of their properties, and these are no more than one may have.
func TestMergedMembers(t *testing.T) {
	for count, fails := range map[int]bool{1: false, 7: true} {
		var all []string
		for i := range count {
			var properties []string
			for j := range maxMembers {
				properties = append(properties, fmt.Sprintf(`"%d_%d":{}`, i, j))
			}
			all = append(all, `{"properties":{`+strings.Join(properties, ",")+`}}`)
		}
		_, err := JSONSchema([]byte(`{"type":"object","additionalProperties":false,"allOf":[` + strings.Join(all, ",") + `]}`))
		if (err != nil) != fails {
			t.Errorf("%d properties: error %v", count*maxMembers, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%d properties", count*maxMembers)) {
			t.Errorf("%d properties: %v", count*maxMembers, err)
		}
	}
}
