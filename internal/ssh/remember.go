package ssh

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// order gives the addresses to try: first the one that answered the last time.
func (d *Dialer) order(cfg Config) []Target {
	targets := []Target{cfg.Target}
	for _, t := range cfg.Addresses {
		if t.User == "" {
			t.User = cfg.Target.User
		}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	if len(targets) == 1 || d.StateDir == "" {
		return targets
	}
	last, err := os.ReadFile(d.memory(cfg))
	if err != nil {
		return targets
	}
	for i, t := range targets {
		if t.String() == strings.TrimSpace(string(last)) {
			return append([]Target{t}, slices.Delete(targets, i, i+1)...)
		}
	}
	return targets
}

// memory is the file with the address that a host answered at.
func (d *Dialer) memory(cfg Config) string {
	return filepath.Join(d.StateDir, "addresses", url.PathEscape(cfg.Name)+".txt")
}

// remember notes that a host answered at an address. It is only to save time:
// where it cannot be noted, nothing is lost.
func (d *Dialer) remember(cfg Config, t Target) {
	if d.StateDir == "" || len(cfg.Addresses) == 0 {
		return
	}
	name, text := d.memory(cfg), []byte(t.String()+"\n")
	last, err := os.ReadFile(name)
	if err == nil && string(last) == string(text) || err != nil && t == cfg.Target {
		return
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return
	}
	_, err = file.Write(text)
	if closed := file.Close(); err == nil && closed == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
}
