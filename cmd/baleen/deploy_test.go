package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deploy = "../../deploy/"

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(deploy + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkSettings tries settings on the flags of serve.
func checkSettings(t *testing.T, where, settings string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	model := ""
	if err := applyConfig(newServe().Flags(), file, &model); err != nil || model == "" {
		t.Errorf("%s: model %q: %v", where, model, err)
	}
}

// The settings that are deployed are ones that serve takes.
func TestDeployedSettings(t *testing.T) {
	checkSettings(t, "serve.yaml", readDeploy(t, "serve.yaml"))
	var probes, maps int
	for decoder := yaml.NewDecoder(strings.NewReader(readDeploy(t, "kubernetes.yaml"))); ; {
		var object struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Metadata   struct{ Name string }
			Data       map[string]string
			Spec       struct {
				Template struct {
					Spec struct {
						Grace      int `yaml:"terminationGracePeriodSeconds"`
						Containers []struct {
							Args  []string
							Ports []struct{ Name string }
							Start probe `yaml:"startupProbe"`
							Ready probe `yaml:"readinessProbe"`
							Live  probe `yaml:"livenessProbe"`
						}
					}
				}
			}
		}
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if object.APIVersion == "" || object.Kind == "" || object.Metadata.Name != "baleen" {
			t.Errorf("%+v is no object", object)
		}
		if settings, ok := object.Data["serve.yaml"]; ok {
			maps++
			checkSettings(t, "kubernetes.yaml", settings)
		}
		for _, c := range object.Spec.Template.Spec.Containers {
			for want, p := range map[string][]probe{"/readyz": {c.Start, c.Ready}, "/healthz": {c.Live}} {
				for _, p := range p {
					probes++
					if p.HTTP.Path != want || p.HTTP.Port != c.Ports[0].Name {
						t.Errorf("probe %+v, expected %s", p, want)
					}
				}
			}
			if strings.Join(c.Args, " ") != "serve --config /etc/baleen/serve.yaml" || object.Spec.Template.Spec.Grace <= 120 {
				t.Errorf("arguments %q, %d s to stop", c.Args, object.Spec.Template.Spec.Grace)
			}
		}
	}
	if probes != 3 || maps != 1 {
		t.Errorf("%d probes, %d settings", probes, maps)
	}
}

type probe struct {
	HTTP struct{ Path, Port string } `yaml:"httpGet"`
}

// The unit and the image start what there is, and the unit has sections, keys and values and nothing else.
func TestDeployedUnitAndImage(t *testing.T) {
	sections := 0
	for i, line := range strings.Split(readDeploy(t, "baleen.service"), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case regexp.MustCompile(`^\[(Unit|Service|Install)\]$`).MatchString(line):
			sections++
		case !regexp.MustCompile(`^[A-Z][A-Za-z]+=`).MatchString(line):
			t.Errorf("baleen.service:%d: %s", i+1, line)
		}
	}
	if sections != 3 {
		t.Errorf("%d sections", sections)
	}
	for _, want := range []string{"Type=notify\n", "ExecStart=/usr/local/bin/baleen serve --config /etc/baleen/serve.yaml --api-key-file %d/keys\n"} {
		if !strings.Contains(readDeploy(t, "baleen.service"), want) {
			t.Errorf("the unit has no %s", want)
		}
	}
	image := readDeploy(t, "Containerfile")
	for _, want := range []string{"CGO_ENABLED=0 go build", `CMD ["serve", "--config", "/etc/baleen/serve.yaml"]`, "STOPSIGNAL SIGTERM"} {
		if !strings.Contains(image, want) {
			t.Errorf("the image has no %s", want)
		}
	}
	for i, line := range strings.Split(image, "\n") {
		if line != "" && !regexp.MustCompile(`^(#|FROM|WORKDIR|COPY|RUN|USER|EXPOSE|VOLUME|STOPSIGNAL|ENTRYPOINT|CMD)`).MatchString(line) {
			t.Errorf("Containerfile:%d: %s", i+1, line)
		}
	}
}

func TestDeployedAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For string
				Annotations      map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(readDeploy(t, "alerts.yaml"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || r.Expr == "" || r.Annotations["summary"] == "" {
			t.Errorf("%+v", r)
		}
	}
}
