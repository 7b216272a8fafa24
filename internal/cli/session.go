package cli

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/inventory"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/term"
)

// session is a loaded flake with what the rooms below need to work on it.
type session struct {
	*App
	nix    *nix.CLI
	loader *flake.Loader
	fleet  *flake.Fleet
	dialer ssh.Dialer // of all hosts

	known map[string]*flake.Details // evaluated last

	deployMu sync.Mutex              // guards deploys
	deploys  map[string]flake.Deploy // where machines are, as far as that is known
	// redirected is a machine that is reached at another address than its own.
	redirected struct{ machine, host string }
	// skipUnreachable says that a machine at which nobody answers is no failure.
	skipUnreachable bool

	keysOnce sync.Once
	keys     *secrets.Identities
	keysErr  error

	hostKeysOnce sync.Once
	hostKeys     map[string][]string // of machines, as the fleet made them
}

// cacheBytes bounds what evaluations leave on the disk.
const cacheBytes = 64 << 20

func findFlake(a *App, given string) (ref, dir string, err error) {
	if given == "" {
		given = a.Getenv("FLEET_FLAKE")
	}
	return flake.Find(a.Dir, given)
}

// open loads the flake that the settings name.
func (a *App) open(ctx context.Context) (*session, error) {
	return a.load(ctx, (*flake.Loader).Load)
}

// openFor is open for a command that goes on to evaluate machines: those that
// its arguments select, or all.
func (a *App) openFor(ctx context.Context, args []string, all, toplevel bool) (*session, error) {
	names := inventory.Names(args)
	if all {
		names = nil
	} else if names == nil {
		return a.open(ctx)
	}
	return a.load(ctx, func(l *flake.Loader, ctx context.Context, ref, dir string) (*flake.Fleet, error) {
		return l.LoadFor(ctx, ref, dir, names, toplevel)
	})
}

func (a *App) load(ctx context.Context, load func(l *flake.Loader, ctx context.Context, ref, dir string) (*flake.Fleet, error)) (*session, error) {
	ref, dir, err := findFlake(a, a.config.Flake)
	if err != nil {
		return nil, err
	}
	s := &session{App: a}
	s.dialer.StateDir = a.config.StateDir
	if a.Streams.CanPrompt() {
		s.dialer.Ask = func(ctx context.Context, question string) (string, error) {
			return a.Streams.Ask(ctx, term.Question{Label: question, Hidden: true, Once: true})
		}
	}
	s.nix = nix.New(nix.Options{
		Env:               a.Environ,
		LogDir:            filepath.Join(a.config.StateDir, "logs"),
		AcceptFlakeConfig: a.config.AcceptFlakeConfig,
	})
	s.loader = &flake.Loader{
		Nix:     s.nix,
		EvalKey: s.nix.EvalKey,
		System:  nix.System(),
		Workers: a.config.Jobs,
		OnEvent: a.nixEvent,
	}
	if s.loader.Workers <= 0 {
		s.loader.Workers = runtime.NumCPU()
	}
	if !a.config.NoCache {
		s.loader.Cache = &nix.Cache{Dir: filepath.Join(a.config.CacheDir, "eval"), MaxBytes: cacheBytes}
	}
	s.fleet, err = load(s.loader, ctx, ref, dir)
	if err != nil {
		return nil, err
	}
	for _, w := range s.fleet.Warnings {
		a.Streams.Warn("%s", w)
	}
	return s, nil
}

// nixEvent shows Nix's warnings, and with --verbose all that it says.
func (a *App) nixEvent(e nix.Event) {
	switch {
	case e.Kind == nix.Message && e.Level == nix.LevelWarn:
		text := strings.TrimPrefix(e.Text, "warning: ")
		if strings.HasPrefix(text, "creating lock file") || strings.HasPrefix(text, "updating lock file") {
			a.Streams.Say("nix wrote flake.lock")
			return
		}
		a.Streams.Warn("nix: %s", text)
	case a.config.Verbose && e.Text != "":
		a.Streams.Murmur("nix: %s", e.Text)
	}
}

// selection resolves a command's machines: its arguments, or all with --all.
func (s *session) selection(args []string, all bool) ([]string, error) {
	return selected(&s.fleet.Inventory, args, all)
}

// selected is selection from some other inventory. What means nothing is wrong
// usage; what only finds nothing is right and has failed.
func selected(inv *flake.Inventory, args []string, all bool) ([]string, error) {
	switch {
	case all && len(args) > 0:
		return nil, &codeError{exitUsage, errors.New("--all and a selection exclude each other")}
	case all:
		return inventory.All(inv), nil
	case len(args) == 0:
		return nil, &codeError{exitUsage, errors.New("no machine is named: name some, or say --all")}
	}
	names, err := inventory.Select(inv, args...)
	if err != nil && !errors.Is(err, inventory.ErrEmpty) {
		return nil, &codeError{exitUsage, err}
	}
	return names, err
}

// evaluation is a command's machines, evaluated.
type evaluation struct {
	*session
	names     []string
	evaluated *flake.Evaluated
}

// evaluate loads the flake and evaluates the selected machines, and shows that
// it does.
func (a *App) evaluate(ctx context.Context, args []string, all, toplevel bool) (*evaluation, error) {
	p := a.progress()
	defer p.clear()
	p.get().Set("evaluating", "the fleet", "")
	s, err := a.openFor(ctx, args, all, toplevel)
	if err != nil {
		return nil, err
	}
	names, err := s.selection(args, all)
	if err != nil {
		return nil, err
	}
	evaluated, err := s.loader.Details(ctx, s.fleet, names, toplevel)
	if err == nil {
		s.known = evaluated.Details
	}
	return &evaluation{s, names, evaluated}, err
}

// identities loads the administrator's keys once for a command: they may come
// from a program that asks for something.
func (s *session) identities(ctx context.Context) (*secrets.Identities, error) {
	s.keysOnce.Do(func() { s.keys, s.keysErr = secrets.LoadIdentities(ctx, s.secretsEnv()) })
	return s.keys, s.keysErr
}

// identitiesFor are those, and whatever else clan looks for in the layout.
func (s *session) identitiesFor(ctx context.Context, layout secrets.Layout) (*secrets.Identities, error) {
	ids, err := s.identities(ctx)
	if _, isAge := layout.(*secrets.Age); err != nil || !isAge {
		return ids, err
	}
	return ids.WithAge(s.secretsEnv())
}

func (a *App) secretsEnv() secrets.Env {
	return secrets.Env{Getenv: a.Getenv, Home: a.Home, Environ: a.Environ, Darwin: runtime.GOOS == "darwin"}
}
