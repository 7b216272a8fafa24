package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        map[string]string
		args       []string
		want       func(*Config) bool
		err        string
	}{
		{name: "defaults", want: func(c *Config) bool { return c.Jobs == 0 && !c.JSON && c.CacheDir == "/home/u/.cache/fleet" }},
		{name: "file", file: "jobs: 3\njson: true\n", want: func(c *Config) bool { return c.Jobs == 3 && c.JSON }},
		{name: "environment beats file", file: "jobs: 3\n", env: map[string]string{"FLEET_JOBS": "4"}, want: func(c *Config) bool { return c.Jobs == 4 }},
		{name: "flag beats environment", env: map[string]string{"FLEET_JOBS": "4"}, args: []string{"--jobs=5"}, want: func(c *Config) bool { return c.Jobs == 5 }},
		{name: "flag beats file", file: "accept-flake-config: true\n", args: []string{"--accept-flake-config=false"}, want: func(c *Config) bool { return !c.AcceptFlakeConfig }},
		{name: "xdg", env: map[string]string{"XDG_STATE_HOME": "/s"}, want: func(c *Config) bool { return c.StateDir == "/s/fleet" }},
		{name: "unknown key", file: "job: 3\n", err: "fleet.yaml: there is no setting job"},
		{name: "several unknown keys", file: "b: 1\na: {x: 2}\njobs:\n", err: "fleet.yaml: there is no setting a.x"},
		{name: "nothing said", file: "jobs:\n", want: func(c *Config) bool { return c.Jobs == 0 }},
		{name: "not YAML", file: "jobs: [\n", err: "not valid YAML"},
		{name: "wrong type", env: map[string]string{"FLEET_JOBS": "many"}, err: "FLEET_JOBS is many, and must be a whole number"},
		{name: "wrong type in the file", file: "json: maybe\n", err: "fleet.yaml is maybe, and must be true or false"},
		{name: "a list", file: "flake: [a]\n", err: "'flake'"},
		{name: "negative", args: []string{"--jobs=-1"}, err: "--jobs is -1, and must be at least 1, or 0 for one per core"},
		{name: "negative in the file", file: "jobs: -1\n", err: "fleet.yaml is -1, and must be at least 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(dir, FileName), []byte(tt.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			Flags(fs)
			if err := fs.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			c, err := Load(fs, dir, func(k string) string { return tt.env[k] }, "/home/u")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want an error with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tt.want(c) {
				t.Errorf("got %+v", c)
			}
		})
	}
}
