// Package flake is the fleet as a value: it finds a flake, tells its flavour,
// and turns what Nix says of it into Inventory and Details.
//
// The inventory is one evaluation and never evaluates a machine. Details are
// evaluated for the machines that a command needs, all in one go and split over
// a few Nix processes; a machine that fails to evaluate fails alone.
package flake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/crs58/fleet/internal/nix"
)

// Flavour is the kind of flake.
type Flavour string

// The flavours that fleet knows.
const (
	Native Flavour = "native" // output fleet, made by the core
	Clan   Flavour = "clan"   // output clanInternals, made by clan-core
	Plain  Flavour = "plain"  // only nixosConfigurations or darwinConfigurations
)

// Fleet is a loaded flake.
type Fleet struct {
	// Ref is what Nix is given, Dir the folder it lies in; Dir is empty for a
	// remote reference, which can be read but not written to.
	Ref     string
	Dir     string
	Flavour Flavour
	Inventory

	evalKey string // empty where nothing may be cached
	// known is what was evaluated together with the inventory.
	known Evaluated
}

// ErrNotFound says that there is no flake where one was looked for.
var ErrNotFound = errors.New("no flake")

// Find resolves what the user gave as the flake. An empty ref means dir or the
// nearest folder above it with a flake.nix.
func Find(dir, ref string) (resolved, folder string, err error) {
	resolved, folder, err = find(dir, ref)
	if err == nil && strings.ContainsAny(folder, "#?") {
		err = fmt.Errorf("the path of %s has a # or a ?, which Nix takes for a part of a reference; move the fleet to a folder without", folder)
	}
	return resolved, folder, err
}

func find(dir, ref string) (resolved, folder string, err error) {
	if ref == "" {
		for at := dir; ; at = filepath.Dir(at) {
			if exists(filepath.Join(at, "flake.nix")) {
				return at, at, nil
			}
			if at == filepath.Dir(at) {
				return "", "", fmt.Errorf("%w in %s or above it; go to your fleet, name it with --flake, or start one with `fleet init`", ErrNotFound, dir)
			}
		}
	}
	folder = ref
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(dir, folder)
	}
	_, machine, parted := strings.Cut(ref, "#")
	remote := strings.Contains(ref, ":")
	switch {
	case remote && !parted:
		return ref, "", nil
	case !remote && exists(filepath.Join(folder, "flake.nix")):
		return folder, folder, nil
	case parted:
		return "", "", fmt.Errorf("%w is called %s: --flake takes it without #%s, and a machine is named as an argument", ErrNotFound, ref, machine)
	case filepath.Base(folder) == "flake.nix" && exists(folder):
		return "", "", fmt.Errorf("%w in %s: --flake takes the folder, %s", ErrNotFound, folder, filepath.Dir(folder))
	}
	return "", "", fmt.Errorf("%w in %s: there is no flake.nix; `fleet init` starts a fleet", ErrNotFound, folder)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Loader evaluates flakes.
type Loader struct {
	Nix nix.Executor
	// Cache keeps results of evaluation; nil turns it off.
	Cache *nix.Cache
	// EvalKey is what the value of any expression over the flake in a folder
	// depends on, as nix.CLI.EvalKey tells it.
	EvalKey func(ctx context.Context, dir string) (string, error)
	// System is the administrator's platform, such as x86_64-linux.
	System string
	// Workers is how many Nix processes evaluate at once.
	Workers int
	OnEvent func(nix.Event)
}

// Load reads the inventory.
func (l *Loader) Load(ctx context.Context, ref, dir string) (*Fleet, error) {
	return l.load(ctx, ref, dir, func(ctx context.Context, fleet *Fleet) (map[string]any, error) {
		return nil, l.loadInventory(ctx, fleet)
	})
}

// LoadFor is Load for a command that goes on to ask for the Details of
// machines, nil standing for all: these are evaluated in the same go as the
// inventory, which saves an evaluation where nothing is known yet. Names that
// are no machines do no harm.
func (l *Loader) LoadFor(ctx context.Context, ref, dir string, machines []string, toplevel bool) (*Fleet, error) {
	return l.load(ctx, ref, dir, func(ctx context.Context, fleet *Fleet) (map[string]any, error) {
		results, err := l.loadFor(ctx, fleet, machines, toplevel)
		if err == nil {
			return results, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// A machine does not evaluate, or it is no fleet: the long way tells which.
		*fleet = Fleet{Ref: ref, Dir: dir, evalKey: fleet.evalKey, known: fleet.known}
		return results, l.loadInventory(ctx, fleet)
	})
}

// load takes the inventory from the cache, or evaluates it with what comes along:
// further results by their keys.
func (l *Loader) load(ctx context.Context, ref, dir string, evaluate func(context.Context, *Fleet) (map[string]any, error)) (*Fleet, error) {
	fleet := &Fleet{Ref: ref, Dir: dir}
	if dir != "" && l.Cache != nil {
		key, err := l.EvalKey(ctx, dir)
		if err != nil {
			return nil, err
		}
		fleet.evalKey = key
	}
	key := fleet.key("inventory")
	if l.cached(key, fleet) {
		return fleet, nil
	}
	results, err := evaluate(ctx, fleet)
	if err != nil {
		return nil, err
	}
	if results == nil {
		results = map[string]any{}
	}
	results[key] = fleet
	l.keep(ctx, fleet, results)
	return fleet, nil
}

func (l *Loader) loadInventory(ctx context.Context, fleet *Fleet) error {
	got, err := l.evaluate(ctx, fleet, question{inventory: true, machines: []string{}})
	if err != nil {
		return &inventoryError{fleet.Ref, err}
	}
	return fleet.take(got)
}

// take makes the inventory that was evaluated the fleet's.
func (f *Fleet) take(got *answer) error {
	f.Flavour = got.Flavour
	if got.Flavour == "" {
		return fmt.Errorf("%s is a flake, but not of a fleet: it has none of the outputs fleet, clanInternals, nixosConfigurations, darwinConfigurations; `fleet init` shows what one looks like", f.Ref)
	}
	if err := json.Unmarshal(got.Inventory, &f.Inventory); err != nil {
		return fmt.Errorf("the inventory of %s is not what this program knows: %w", f.Ref, err)
	}
	for name, m := range f.Machines {
		m.Deploy.TargetHost, m.Deploy.BuildHost = f.Flavour.Login(m.Deploy.TargetHost), f.Flavour.buildHost(m.Deploy.BuildHost)
		f.Machines[name] = m
	}
	return nil
}

// inventoryError says that the inventory could not be read, and why.
type inventoryError struct {
	ref string
	err error
}

func (e *inventoryError) Error() string {
	return fmt.Sprintf("cannot read the inventory of %s: %s", e.ref, reason(e.err))
}

func (e *inventoryError) Unwrap() error { return e.err }

// cacheFormat is part of every key: results that an older program kept in
// another shape are not found.
const cacheFormat = "flake-4"

// key names a result for the cache; empty means it may not be kept. What is
// asked is part of it.
func (f *Fleet) key(parts ...string) string {
	if f.evalKey == "" {
		return ""
	}
	return nix.Key(append([]string{cacheFormat, question{}.apply(""), f.Ref, f.evalKey}, parts...)...)
}

func (l *Loader) cached(key string, v any) bool {
	if key == "" || l.Cache == nil {
		return false
	}
	raw, ok := l.Cache.Get(key)
	return ok && json.Unmarshal(raw, v) == nil
}

// keep keeps results by their keys, unless the flake has changed since its key
// was made: then nobody knows which state they are of. It is best effort; a cache
// that cannot be written only costs time.
func (l *Loader) keep(ctx context.Context, fleet *Fleet, results map[string]any) {
	if fleet.evalKey == "" || l.Cache == nil || len(results) == 0 {
		return
	}
	if now, err := l.EvalKey(ctx, fleet.Dir); err != nil || now != fleet.evalKey {
		return
	}
	for key, result := range results {
		if raw, err := json.Marshal(result); err == nil {
			_ = l.Cache.Put(key, raw)
		}
	}
}
