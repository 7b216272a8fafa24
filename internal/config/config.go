// Package config turns fleet.yaml, FLEET_* and flags into one typed Config.
// A flag beats the environment, the environment beats the file, the file beats
// the default. Viper does the merging and ends here: it lower-cases keys and
// splits them at dots, so no machine or secret name ever passes through it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// FileName is the settings file beside flake.nix.
const FileName = "fleet.yaml"

// Config holds the settings that every command shares.
type Config struct {
	// Flake is the folder or reference of the flake; empty means the folder at
	// hand or the nearest one above it that has a flake.nix.
	Flake string `mapstructure:"flake"`
	// AcceptFlakeConfig lets the flake's own nixConfig take effect. Without it
	// the settings are ignored and that is said.
	AcceptFlakeConfig bool `mapstructure:"accept-flake-config"`
	// NoCache evaluates even when the result is known.
	NoCache bool `mapstructure:"no-cache"`
	// Jobs limits how many machines are evaluated at once; 0 means one per core.
	Jobs int `mapstructure:"jobs"`
	// JSON asks for machine-readable output.
	JSON bool `mapstructure:"json"`
	// Quiet drops progress and hints.
	Quiet bool `mapstructure:"quiet"`
	// Verbose shows what Nix says.
	Verbose bool `mapstructure:"verbose"`
	// CacheDir holds evaluation results, StateDir logs and the records of runs.
	CacheDir string `mapstructure:"cache-dir"`
	StateDir string `mapstructure:"state-dir"`
}

// Flags declares the flags of Config on fs.
func Flags(fs *pflag.FlagSet) {
	fs.String("flake", "", "the fleet's `FLAKE`: a folder or a flake reference ($FLEET_FLAKE)")
	fs.Bool("accept-flake-config", false, "let the flake's own nixConfig take effect ($FLEET_ACCEPT_FLAKE_CONFIG)")
	fs.Bool("no-cache", false, "evaluate even when the result is known ($FLEET_NO_CACHE)")
	fs.Int("jobs", 0, "machines evaluated at once, 0 for one per core ($FLEET_JOBS)")
	fs.Bool("json", false, "print JSON on standard output ($FLEET_JSON)")
	fs.BoolP("quiet", "q", false, "print results, warnings and errors only ($FLEET_QUIET)")
	fs.BoolP("verbose", "v", false, "show what Nix says ($FLEET_VERBOSE)")
	fs.String("cache-dir", "", "keep evaluation results in this `FOLDER` ($FLEET_CACHE_DIR)")
	fs.String("state-dir", "", "keep logs and the records of runs in this `FOLDER` ($FLEET_STATE_DIR)")
}

// kinds are those of settings that not every text is a value of.
var kinds = map[string]string{"int": "a whole number", "bool": "true or false"}

// Load merges the settings. dir is where fleet.yaml is looked for; getenv and
// home stand for the environment.
func Load(flags *pflag.FlagSet, dir string, getenv func(string) string, home string) (*Config, error) {
	v := viper.New()
	v.SetConfigType("yaml")
	declared := pflag.NewFlagSet("", pflag.ContinueOnError)
	Flags(declared)
	declared.VisitAll(func(f *pflag.Flag) { v.SetDefault(f.Name, f.DefValue) })
	v.SetDefault("cache-dir", filepath.Join(xdg(getenv, "XDG_CACHE_HOME", home, ".cache"), "fleet"))
	v.SetDefault("state-dir", filepath.Join(xdg(getenv, "XDG_STATE_HOME", home, ".local/state"), "fleet"))

	file := filepath.Join(dir, FileName)
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("%s is not valid YAML: %w", file, err)
	}
	for _, key := range slices.Sorted(slices.Values(v.AllKeys())) {
		if declared.Lookup(key) == nil {
			return nil, fmt.Errorf("%s: there is no setting %s", file, key)
		}
	}
	from := map[string]string{}
	var wrong error
	declared.VisitAll(func(f *pflag.Flag) {
		from[f.Name] = f.Name + " in " + file
		name := "FLEET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := getenv(name); value != "" {
			v.Set(f.Name, value)
			from[f.Name] = name
		}
		if given := flags.Lookup(f.Name); given != nil && given.Changed {
			v.Set(f.Name, given.Value.String())
			from[f.Name] = "--" + f.Name
		}
		if value := v.Get(f.Name); wrong == nil && f.Value.Set(fmt.Sprint(value)) != nil {
			wrong = fmt.Errorf("%s is %v, and must be %s", from[f.Name], value, kinds[f.Value.Type()])
		}
	})
	if wrong != nil {
		return nil, wrong
	}
	var c Config
	if err := v.UnmarshalExact(&c); err != nil {
		return nil, fmt.Errorf("the settings in %s do not fit: %w", file, err)
	}
	if c.Jobs < 0 {
		return nil, fmt.Errorf("%s is %d, and must be at least 1, or 0 for one per core", from["jobs"], c.Jobs)
	}
	return &c, nil
}

func xdg(getenv func(string) string, name, home, fallback string) string {
	if dir := getenv(name); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(home, fallback)
}
