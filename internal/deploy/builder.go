package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/ssh"
)

// Here is the build host that this computer is, whatever a flake says.
const Here = "localhost"

// builder is a host that builds for machines. Its connection is shared.
type builder struct {
	t *sshTarget

	mu    sync.Mutex // guards the opening of connection and store
	store string
}

// open connects to the host and gives the URI of its store.
func (b *builder) open(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store != "" && b.t.alive() {
		return b.store, nil
	}
	err := b.t.Connect(ctx)
	if err == nil {
		b.store, err = b.t.Store(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("reach the build host: %w", err)
	}
	return b.store, nil
}

// builder gives the host that builds for a machine; nil for this computer, and
// the machine itself for one that is its own.
func (w *way) builder() (b *builder, self bool, err error) {
	d := w.d
	address := d.o.BuildHost
	if address == "" {
		address = w.m.BuildHost
	}
	switch {
	case d.o.BuildOnTarget:
		return nil, true, nil
	case address == "" || address == Here:
		return nil, false, nil
	}
	a, err := ParseAddress(address, d.o.Directory)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("the build host: %w", err)
	case a.Kind == Local:
		return nil, false, nil
	case a.String() == w.t.String():
		return nil, true, nil
	case a.Kind != SSH:
		return nil, false, fmt.Errorf("the build host %s is no host behind SSH", address)
	}
	if _, ok := w.t.(shell); !ok {
		return nil, false, fmt.Errorf("%s is no machine that another can copy to: build for it here (--build-host %s)", w.t, Here)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.builders[a.String()] == nil {
		dial := func(ctx context.Context) (*ssh.Conn, error) { return d.o.Dial(ctx, d.o.Names[address], a.SSH) }
		d.builders[a.String()] = &builder{t: newSSHTarget(a.String(), dial, d.o.Timeouts.Reach)}
	}
	return d.builders[a.String()], false, nil
}

// buildHost names the host that would build for the machine; empty for here.
func (w *way) buildHost(s Step) (string, error) {
	var err error
	if w.t, err = w.d.target(s.Machine, s.Class, s.Target); err != nil {
		return "", err
	}
	b, self, err := w.builder()
	switch {
	case self:
		return w.t.String(), err
	case b != nil:
		return b.t.name, err
	}
	return "", err
}

// build realises the system where the machine is built for.
func (w *way) build(ctx context.Context) error {
	b, self, err := w.builder()
	switch {
	case err != nil:
		return err
	case self:
		return w.buildIn(ctx, w.t.String(), w.t.Store)
	case b != nil:
		return w.buildIn(ctx, b.t.name, b.open)
	}
	return w.d.build(ctx, w.s)
}

// buildIn builds in the store of another host, which is given the derivation.
func (w *way) buildIn(ctx context.Context, host string, open func(context.Context) (string, error)) error {
	d, s := w.d, w.s
	return d.during(ctx, Build, func() error {
		d.emit(s.Machine, Build, Started, "on "+host)
		store, err := open(ctx)
		if err != nil {
			return err
		}
		if store == "" { // this computer is the machine
			if _, err := d.o.Nix.Build(ctx, d.buildRequest(s.Machine, s.Wanted.DrvPath)); err != nil {
				return buildError(s.Wanted.OutPath, err)
			}
			d.emit(s.Machine, Build, Done, s.Wanted.OutPath)
			return nil
		}
		err = d.o.Nix.Copy(ctx, nix.CopyRequest{
			To: store, Paths: []string{s.Wanted.DrvPath}, NoCheckSigs: true, SubstituteOnDestination: true, OnEvent: d.nixEvents(s.Machine, Build),
		})
		if err != nil {
			return fmt.Errorf("hand the derivation of %s to %s: %w", s.Wanted.OutPath, host, err)
		}
		_, err = d.o.Nix.Build(ctx, nix.BuildRequest{
			Store: store, Installables: []string{s.Wanted.DrvPath + "^*"}, OnEvent: d.nixEvents(s.Machine, Build),
		})
		if err != nil {
			return fmt.Errorf("build %s on %s: %w", s.Wanted.OutPath, host, err)
		}
		d.emit(s.Machine, Build, Done, s.Wanted.OutPath)
		return nil
	})
}

// transferred is how many paths go from a build host to a machine in one piece:
// what has arrived stays when the next piece fails.
const transferred = 64

// transfer brings the system from the build host to the machine, through us.
// Nothing of it touches a disk here.
func (w *way) transfer(ctx context.Context, b *builder) error {
	out := w.s.Wanted.OutPath
	list, err := b.t.output(ctx, `exec nix-store --query --requisites "$1"`, nil, out)
	if err != nil {
		return fmt.Errorf("ask %s what %s needs: %w", b.t.name, out, err)
	}
	paths := strings.Fields(list) // what others need comes before them
	store, err := w.t.Store(ctx)
	if err != nil {
		return err
	}
	present, err := w.d.o.Nix.PathInfo(ctx, store, paths...)
	if err != nil {
		return fmt.Errorf("ask %s what it has of the system: %w", w.t, err)
	}
	var missing []string
	for _, path := range paths {
		if _, there := present[path]; !there {
			missing = append(missing, path)
		}
	}
	to := w.t.(shell) // builder has seen to that
	for len(missing) > 0 {
		piece := missing[:min(transferred, len(missing))]
		missing = missing[len(piece):]
		w.d.emit(w.m.Name, Copy, Running, piece[len(piece)-1])
		r, pipe := io.Pipe()
		sent := make(chan error, 1)
		go func() {
			err := b.t.run(ctx, `exec nix-store --export "$@"`, nil, pipe, piece...)
			pipe.CloseWithError(err)
			sent <- err
		}()
		err := to.run(ctx, "exec nix-store --import", r, io.Discard)
		r.CloseWithError(io.ErrClosedPipe)
		if from := <-sent; from != nil && !errors.Is(from, io.ErrClosedPipe) {
			return fmt.Errorf("export %s from %s: %w", out, b.t.name, from)
		}
		if err != nil {
			return fmt.Errorf("import %s on %s: %w", out, w.t, err)
		}
	}
	return nil
}
