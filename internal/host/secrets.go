package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars"
)

// KeyMatch says how the age key on a machine stands to the repository's.
type KeyMatch string

// The ways they stand. KeyNotNeeded is for a machine without secrets, which is
// not looked at; KeyUnknown for one that could not be.
const (
	KeyMatches   KeyMatch = "match"
	KeyDiffers   KeyMatch = "mismatch"
	KeyMissing   KeyMatch = "missing"
	KeyUnusable  KeyMatch = "unusable"
	KeyNotNeeded KeyMatch = "not needed"
	KeyUnknown   KeyMatch = "unknown"
)

// Remote is how a machine's own key and secrets stand to the repository.
type Remote struct {
	Machine string   `json:"machine"`
	Target  string   `json:"target,omitempty"`
	Key     KeyMatch `json:"key"`
	// KeyFile is where the key belongs on the machine.
	KeyFile string `json:"keyFile,omitempty"`
	// OnMachine and InRepository are public keys.
	OnMachine    []string `json:"onMachine,omitempty"`
	InRepository []string `json:"inRepository,omitempty"`
	// Missing are secrets that are not on the machine, by name.
	Missing []string `json:"missing,omitempty"`
	// Error is why the machine could not be looked at.
	Error string `json:"error,omitempty"`
}

// CheckRemote compares the age key on each machine with the repository's, and
// looks whether the secrets are there that exist for it. Machines are looked at
// all at once; one that cannot be reached is a finding. Nothing is changed. The
// error is about the repository, or an interruption.
func CheckRemote(ctx context.Context, o deploy.Options, values *vars.Fleet, machines []deploy.Machine) ([]Remote, []vars.Finding, error) {
	remotes := make([]Remote, 0, len(machines))
	checks := map[string]*remoteCheck{}
	files := map[string][]string{}
	var needed []deploy.Machine
	var findings []vars.Finding
	for _, m := range machines {
		c, err := newRemoteCheck(values, m.Name)
		switch {
		case err != nil:
			remotes = append(remotes, Remote{Machine: m.Name, Key: KeyUnknown, Error: err.Error()})
			findings = append(findings, vars.Finding{Machines: []string{m.Name}, Problem: "it cannot be compared with the repository: " + err.Error(), Mend: "restore what is damaged from git"})
			continue
		case len(c.keys) == 0 && len(c.deployed) == 0:
			remotes = append(remotes, Remote{Machine: m.Name, Key: KeyNotNeeded})
			continue
		}
		checks[m.Name], files[m.Name] = c, slices.Sorted(maps.Keys(c.deployed))
		needed = append(needed, m)
	}
	d := deploy.New(o)
	held := d.Holds(ctx, needed, files)
	if err := errors.Join(ctx.Err(), d.Close()); err != nil {
		return nil, nil, err
	}
	for _, h := range held {
		remote, found := checks[h.Machine].judge(h)
		remotes, findings = append(remotes, remote), append(findings, found...)
	}
	slices.SortFunc(remotes, func(a, b Remote) int { return strings.Compare(a.Machine, b.Machine) })
	return remotes, findings, nil
}

// remoteCheck is what the repository knows of one machine.
type remoteCheck struct {
	keys     []string // public
	keyPath  string   // the key.json
	own      bool     // it brought its key, so nobody here has the private one
	deployed map[string]secrets.Ref
}

func newRemoteCheck(values *vars.Fleet, machine string) (*remoteCheck, error) {
	c := &remoteCheck{}
	holder, err := values.Layout.Machine(machine)
	if err != nil && !errors.Is(err, secrets.ErrNoMachineKey) {
		return nil, err
	}
	c.keys = holder.Recipients()
	if c.keyPath, err = values.Layout.MachineKeyPath(machine); err != nil {
		return nil, err
	}
	if _, err := values.Layout.Read(secrets.KeyRef(machine)); errors.Is(err, fs.ErrNotExist) {
		c.own = true
	} else if err != nil {
		return nil, err
	}
	c.deployed, _, err = values.Deployed(machine)
	return c, err
}

// judge says what is wrong with what a machine holds. Where its key is wrong
// nothing is said of its secrets: they come with the key.
func (c *remoteCheck) judge(h deploy.Held) (Remote, []vars.Finding) {
	r := Remote{Machine: h.Machine, Target: h.Target, KeyFile: h.KeyFile, OnMachine: h.Public, InRepository: c.keys}
	finding := func(problem, mend string) []vars.Finding {
		return []vars.Finding{{Machines: []string{h.Machine}, Problem: problem, Mend: mend}}
	}
	key, there := h.Files[h.KeyFile]
	replace := "run `fleet machines update " + h.Machine + "`, which puts the repository's key there"
	if c.own {
		replace = "put the key there that belongs to " + c.keyPath
	}
	switch {
	case h.Err != nil:
		r.Key, r.Error = KeyUnknown, h.Err.Error()
		mend := "run `fleet vars check --remote " + h.Machine + "` again when that is mended"
		if h.Next != "" {
			mend = "find out more with `" + h.Next + "`"
		}
		return r, finding("its key and secrets cannot be looked at: "+r.Error, mend)
	case len(c.keys) == 0:
		r.Key = KeyUnknown
		return r, nil // that it has no key is found in the repository
	case !there:
		r.Key = KeyMissing
		return r, finding(fmt.Sprintf("it has no age key at %s, so it cannot decrypt its secrets", h.KeyFile), replace)
	case h.KeyErr != nil:
		r.Key = KeyUnusable
		return r, finding("its age key cannot be used: "+h.KeyErr.Error(), replace)
	case !slices.ContainsFunc(h.Public, func(k string) bool { return slices.Contains(c.keys, secrets.NormalizeRecipient(k)) }):
		r.Key = KeyDiffers
		if c.own {
			replace += fmt.Sprintf(", or write its public half into that file and run `fleet vars fix %s`", h.Machine)
		}
		return r, finding(fmt.Sprintf("MISMATCH: its age key is %s, but %s says %s, so it cannot decrypt its secrets",
			strings.Join(h.Public, ", "), c.keyPath, strings.Join(c.keys, ", ")), replace)
	}
	r.Key = KeyMatches
	var findings []vars.Finding
	if key.Mode.Perm()&0o077 != 0 {
		findings = finding(fmt.Sprintf("its age key %s can be read by others (mode %04o)", h.KeyFile, key.Mode.Perm()),
			"run `chmod 600 "+h.KeyFile+"` on it")
	}
	return r, append(findings, c.missing(&r, h)...)
}

// missing finds the secrets that are not on the machine.
func (c *remoteCheck) missing(r *Remote, h deploy.Held) (findings []vars.Finding) {
	mend := "run `fleet machines update " + h.Machine + "`; if it finds nothing to do, restart the machine"
	for _, path := range slices.Sorted(maps.Keys(c.deployed)) {
		if _, there := h.Files[path]; !there {
			name := c.deployed[path].String()
			r.Missing = append(r.Missing, name)
			findings = append(findings, vars.Finding{Machines: []string{h.Machine}, Value: name, Problem: "it is not on the machine at " + path, Mend: mend})
		}
	}
	if len(r.Missing) == len(c.deployed) && len(r.Missing) > 1 {
		return []vars.Finding{{Machines: []string{h.Machine}, Problem: fmt.Sprintf("none of its %d secrets is on it", len(r.Missing)), Mend: mend}}
	}
	return findings
}
