package deepseek

import (
	"flag"
	"path/filepath"
	"testing"

	"baleen/internal/checkpoint"
)

var shared = flag.String("shared", "", "the folder of shared material, with goldens and the demo model")

// The demo model and every golden of this architecture bind.
func TestBindShared(t *testing.T) {
	if *shared == "" {
		t.Skip("needs -shared=DIR")
	}
	for _, dir := range []string{"demo-model", "goldens/micro-a/bf16", "goldens/micro-a/fp8fp4", "goldens/micro-a16/bf16", "goldens/block-a/fp8fp4", "goldens/dspark-a/fp8fp4"} {
		c, err := checkpoint.Open(filepath.Join(*shared, dir))
		if err != nil {
			c2, err2 := checkpoint.OpenFile(filepath.Join(*shared, dir, "model.safetensors"))
			if err2 != nil {
				t.Error(err, err2)
				continue
			}
			c = c2
		}
		defer c.Close()
		text, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := ParseConfig(text)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		w, err := Bind(c, cfg)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		bytes := int64(0)
		for t := range c.Tensors() {
			bytes += t.Bytes()
		}
		backbone, drafter := w.Bytes()
		if backbone+drafter != bytes {
			t.Errorf("%s: %d bytes bound, %d stored", dir, backbone+drafter, bytes)
		}
		if (w.MTP == nil) == cfg.MTP || (w.Drafter == nil) != (cfg.DSpark == nil) {
			t.Errorf("%s: MTP %v, drafter %v", dir, w.MTP, w.Drafter)
		}
	}
}
